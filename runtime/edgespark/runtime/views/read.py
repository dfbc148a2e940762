"""Pictures, pairs and videos of every kind, made into what their route starts from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from edgespark.runtime.arguments import RASTER, Argument, Option
from edgespark.runtime.errors import InputError
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.frames.read import OPTIONS as VIDEO
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.sensory import Clips, Picture, PicturePair
from edgespark.runtime.views.clips import prepare_clips, prepare_video
from edgespark.runtime.views.files import PictureFile, Pixels, opened
from edgespark.runtime.views.prepare import prepare_pair, prepare_view, warn_of_length

PICTURES = ("first", "second")
RANK = 4


def _range(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    return low, high


OPTIONS = {
    "bands": RASTER["bands"],
    "window": RASTER["window"],
    "range": Option(_range, "range=0,10000"),
}
SECOND = "second_"
PAIR = {
    "second": Option(str, "second=depth.png"),
    **OPTIONS,
    **{
        SECOND + name: Option(option.read, SECOND + option.like) for name, option in OPTIONS.items()
    },
}
"""Options of a pair: those of its first picture, and those of its second, called second_."""


def read_picture(record: Picture, value: object, _: Encode) -> Prepared:
    """Return `pixels`, float32 [1, 3, size, size].

    Takes an array [3 or 1, rows, columns] of uint8, the path of a picture, a PictureFile, a Raster,
    or an Argument. Raises InputError and MissingExtra as `opened` does, InputError where nothing of
    it is valid; warns (EdgesparkWarning) where the middle square shows less than half of it.
    """
    if isinstance(value, Argument):
        path, options = value.file("picture", OPTIONS)
        value = PictureFile(path, **options)
    with opened(value, record.size) as source:
        warn_of_length(source.name, source.rows, source.columns)
        pixels = prepare_view(record, source)
        return Prepared(arrays={"pixels": pixels[None]}, valid=source.valid())


def read_pair(record: PicturePair, value: object, _: Encode) -> Prepared:
    """Return `frames`, float32 [1, 2, 3, size, size]: the picture, then what `second` says.

    Takes two of what `read_picture` takes, in a tuple or a list, an array [2, 3 or 1, rows,
    columns], or an Argument: `scene.png?second=depth.png&second_range=0,10000`. Raises and warns as
    `read_picture` and `prepare_pair` do.
    """
    given = _two(record, value)
    with opened(given[0], record.picture.size) as first, _second(record, given[1]) as second:
        warn_of_length(first.name, first.rows, first.columns)
        frames = prepare_pair(record.picture, first, second)
        valid = (first.valid() + second.valid()) / 2
    return Prepared(arrays={"frames": frames[None]}, valid=valid)


def _two(record: PicturePair, value: object) -> tuple[object, object]:
    if isinstance(value, Argument):
        return _from_argument(record, value)
    if isinstance(value, np.ndarray) and value.ndim == RANK:
        value = list(value)
    if not isinstance(value, tuple | list) or len(value) != len(PICTURES):
        count = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise InputError(
            f"expected two pictures, (picture, {record.second}), got {type(value).__name__}{count}"
        )
    return value[0], value[1]


def _from_argument(record: PicturePair, argument: Argument) -> tuple[object, object]:
    path, options = argument.file("picture", PAIR)
    if not options.get("second"):
        raise InputError(
            f"{path}: expected two pictures; say which is its {record.second}, as in "
            f"{path}?second=other.png"
        )
    own = {name: each for name, each in options.items() if name in OPTIONS}
    others = {name: options.get(SECOND + name) for name in OPTIONS}
    return PictureFile(path, **own), PictureFile(options["second"], **others)


@contextmanager
def _second(record: PicturePair, value: object) -> Iterator[Pixels]:
    """Open the second picture; if it cannot be opened, it is said to be the second."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(opened(value, record.picture.size))
        except InputError as error:
            which = f"the second picture ({record.second}; its options begin with {SECOND})"
            raise type(error)(f"{which}: {error}") from error
        yield source


def read_clips(record: Clips, value: object, _: Encode) -> Prepared:
    """Return `frames`, float32 [1, clips * crops, 3, size, size], the cuts of a frame together.

    Takes an array [frames, 3 or 1, rows, columns] of uint8, the path of a video or a .npy file, a
    VideoFile, or an Argument. Raises and warns as `prepare_clips` and `prepare_video` do.
    """
    if isinstance(value, Argument):
        path, options = value.file("video", VIDEO)
        value = VideoFile(path, **options)
    if isinstance(value, str | Path):
        value = VideoFile(value)
    if isinstance(value, VideoFile):
        return prepare_video(record, value)
    return prepare_clips(record, value)
