"""Video files, and the part of them that is meant."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from math import inf
from pathlib import Path

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.frames.decode import DEMUXERS, open_video
from edgespark.runtime.frames.prepare import prepare_clip, stack
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Frames

COLOURS = ("red", "green", "blue")
CLOSE = Fraction(1, 1000)
"""Seconds that a stop may lie beyond the end: numbers with decimals are rounded."""


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video file, and the part of it that is meant.

    `start` and `stop` are in seconds from the first frame; without them, the whole. Raises
    InputError where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    start: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "video")
        for name, value in (("start", self.start), ("stop", self.stop)):
            if value is not None and not (is_number(value) and 0 <= value < inf):
                raise InputError(f"{name} must be a number of seconds, 0 or more, got {value!r}")
        if self.stop is not None and self.stop <= (self.start or 0):
            raise InputError(f"stop={self.stop} must be greater than start={self.start or 0}")


def prepare_file(record: Frames, file: VideoFile) -> Prepared:
    """Return the frames of a video file, as `prepare_clip` does for an array.

    Of MP4, MOV, Matroska, WebM and AVI, the frames shown at the centres of `count` equal stretches
    of time, by the rule of `spread`; of .npy files, of which no more is read, by number. Raises
    InputError for what is no video, or broken, or does not reach from start to stop; MissingExtra
    where PyAV is not installed.
    """
    path = checked_file(file.path)
    return by_suffix(path, FORMATS)(record, file, path)


def _npy(record: Frames, file: VideoFile, path: Path) -> Prepared:
    if file.start is not None or file.stop is not None:
        raise InputError(f"{path}: holds frames without times; start and stop are for videos")
    return prepare_clip(record, mapped_npy(path), str(path))


def _played(record: Frames, file: VideoFile, path: Path) -> Prepared:
    with open_video(path) as player:
        start, stop = span(file, player.lasts)
        step = (stop - start) / record.count
        times = [start + (2 * i + 1) * step / 2 for i in range(record.count)]
        return stack(record, str(path), player.at(times, len(record.frame.bands)), COLOURS)


def span(file: VideoFile, lasts: Fraction) -> tuple[Fraction, Fraction]:
    """Return the stretch that is meant, in seconds; InputError where it is beyond the end."""
    start, stop = Fraction(file.start or 0), Fraction(lasts if file.stop is None else file.stop)
    if start >= lasts or stop > lasts + CLOSE:
        name, value = ("start", start) if start >= lasts else ("stop", stop)
        raise InputError(
            f"{file.path}: {name}={float(value):g} is beyond its end; it lasts {float(lasts):g} s"
        )
    return start, min(stop, lasts)


FORMATS: dict[str, Callable[[Frames, VideoFile, Path], Prepared]] = {
    **dict.fromkeys(DEMUXERS, _played),
    ".npy": _npy,
}
