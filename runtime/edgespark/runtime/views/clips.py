"""From a video to the first frame of each of its clips, in square cuts.

As OneLLM takes video (csuhan/OneLLM at 8587a47, with the pytorchvideo 0.1.5 that it names): its
code is ImageBind's, which spreads the clips with another version up to the end of the video.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.arrays import array_from_value, mapped_npy
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.frames.decode import DEMUXERS, open_video
from edgespark.runtime.frames.files import VideoFile, span
from edgespark.runtime.frames.prepare import spread, told_once
from edgespark.runtime.grid import Window
from edgespark.runtime.paths import by_suffix, checked_file
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import Clips
from edgespark.runtime.views.bilinear import bilinear
from edgespark.runtime.views.prepare import standard, warn_of_length

COLOURS = 3
RANK = 4
VIDEO = "an array [frames, 3 or 1, rows, columns] of uint8, a path or a VideoFile"


def prepare_clips(record: Clips, video: object, name: str | None = None) -> Prepared:
    """Return `frames` of an array [frames, 3 or 1, rows, columns] of uint8.

    It has no times: taken are the frames at the centres of `clips` equal stretches, by the rule of
    `spread`. Raises InputError for what cannot be one; warns (EdgesparkWarning) where it has fewer
    frames.
    """
    array = array_from_value(video, VIDEO)
    name = name or f"array {array.shape}"
    _check(array, name)
    picks = spread(len(array), record.clips)
    return _stacked(record, name, [(f"frame {pick}", array[pick]) for pick in picks])


def prepare_video(record: Clips, file: VideoFile) -> Prepared:
    """Return `frames` of a video file (MP4, MOV, Matroska, WebM, AVI), or of a .npy file.

    `clips` clips of `seconds` begin at i * (length - seconds) / clips; of each, the first frame
    that begins then or later is taken. Frames are counted at the average rate. A video that is
    shorter than a clip gives its first frame each time. Raises InputError and warns as
    `prepare_clips` does, and for a file that is broken, or does not reach from start to stop;
    MissingExtra where PyAV is not installed.
    """
    path = checked_file(file.path)
    return by_suffix(path, FORMATS)(record, file, path)


def _npy(record: Clips, file: VideoFile, path: Path) -> Prepared:
    if file.start is not None or file.stop is not None:
        raise InputError(f"{path}: holds frames without times; start and stop are for videos")
    return prepare_clips(record, mapped_npy(path), str(path))


def _played(record: Clips, file: VideoFile, path: Path) -> Prepared:
    with open_video(path) as player:
        start, stop = span(file, player.lasts)
        times = [start + time for time in moments(record, stop - start, player.rate)]
        return _stacked(record, str(path), player.at(times, COLOURS))


FORMATS: dict[str, Callable[[Clips, VideoFile, Path], Prepared]] = {
    **dict.fromkeys(DEMUXERS, _played),
    ".npy": _npy,
}


def moments(record: Clips, lasts: Fraction, rate: Fraction | None) -> list[Fraction]:
    """Return when the frames to take are shown, in seconds, ascending.

    That is the middle of frame ceil(rate * beginning of its clip), in float64 where the public code
    rounds; of what lasts less than half a frame, its end; without a rate, the beginning of the
    clip.
    """
    total = max(round(lasts * rate), 1) if rate else 1
    length = total / float(rate) if rate else float(lasts)
    latest = Fraction(max(length - record.seconds, 0.0))
    starts = [latest / record.clips * i for i in range(record.clips)]
    if not rate:
        return starts
    numbers = [min(math.ceil(float(rate) * float(start)), total - 1) for start in starts]
    return [min((number + Fraction(1, 2)) / rate, lasts) for number in numbers]


def _check(array: NDArray[Any], name: str) -> None:
    """Refuse what is no video of 8-bit colours."""
    if array.ndim != RANK or array.shape[1] not in (1, COLOURS):
        last = array.ndim == RANK and array.shape[-1] in (1, COLOURS)
        hint = "; are its bands last? np.moveaxis(video, -1, 1) brings them second" if last else ""
        raise InputError(f"{name}: expected [frames, 3 or 1, rows, columns]{hint}")
    if array.dtype != np.uint8:
        raise InputError(f"{name}: holds {array.dtype} samples; expected uint8, 0…255")
    if not array.size:
        raise InputError(f"{name}: is empty")


def _stacked(record: Clips, name: str, frames: Iterable[tuple[str, NDArray[Any]]]) -> Prepared:
    """Return the cuts of the frames; a name that follows itself is the same frame again."""
    made: dict[str, NDArray[np.float32]] = {}
    names, valid = [], []
    with told_once():
        for label, image in frames:
            names.append(label)
            valid.append(1 - float(np.ma.getmaskarray(image).mean()))
            if label not in made:
                warn_of_length(name, image.shape[1], image.shape[2], record.crops)
                made[label] = cuts(record, np.ma.getdata(image))
    if len(made) < record.clips:
        warnings.warn(
            f"{name}: gives {len(made)} frames for the {record.clips} clips of the model; some "
            "stand more than once",
            EdgesparkWarning,
            stacklevel=2,
        )
    arrays = np.concatenate([made[label] for label in names])[None]
    return Prepared(arrays={"frames": arrays}, valid=float(np.mean(valid)))


def cuts(record: Clips, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return float32 [crops, 3, size, size] of a frame [3 or 1, rows, columns].

    The shorter side is brought to `size`, the longer to its floor; the cuts begin at
    ceil(i * rest / (crops - 1)) of what is left over of it, one alone at ceil(rest / 2).
    """
    size, (rows, columns) = record.picture.size, frame.shape[1:]
    height, width = _scaled(size, rows, columns)
    windows = [_window(size, height, width, i, record.crops) for i in range(record.crops)]
    made = [bilinear(frame, height, width, window) for window in windows]
    return np.stack(
        [standard(record.picture, np.broadcast_to(each, (3, size, size))) for each in made]
    )


def _scaled(size: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the rows and columns in which the shorter side has `size`: pytorchvideo's floats."""
    if columns < rows:
        return math.floor(rows / columns * size), size
    return size, math.floor(columns / rows * size)


def _window(size: int, height: int, width: int, i: int, crops: int) -> Window:
    rest = max(height, width) - size
    offset = -(-i * rest // (crops - 1)) if crops > 1 else -(-rest // 2)
    return (0, offset, size, size) if height > width else (offset, 0, size, size)
