"""From a clip to the frames that a video encoder takes, as its record says."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.arrays import array_from_value, grid_from_array
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Frames

RANK = 4
COLOURS = (1, 3, 4)
"""How many bands an image with the bands last has."""
CLIP = "an array [frames, bands, rows, columns], a path or a VideoFile"
IMAGE = "an array [bands, rows, columns]"


def prepare_clip(record: Frames, clip: object, name: str | None = None) -> Prepared:
    """Return `frames`, float32 [1, count, bands, rows, columns], and the share of valid samples.

    `clip` is an array [frames, bands, rows, columns] ([frames, rows, columns] where a frame has one
    band), or a sequence of images [bands, rows, columns]; what is masked is not valid. Taken are
    the frames at the centres of `count` equal stretches of it, see `spread`. Raises InputError for
    what cannot be a clip, for a clip of no frames, and as `pixels` does for each frame; warns
    (EdgesparkWarning) of a clip of fewer frames than `count`, and once of what `pixels` warns of.
    """
    images = _images(clip, record)
    if name is None:
        shape = f"clip {images.shape}" if isinstance(images, np.ndarray) else None
        name = shape or f"clip of {len(images)} images"
    if not len(images):
        raise InputError(f"{name}: has no frames")
    picks = spread(len(images), record.count)
    taken = ((f"frame {pick}", array_from_value(images[pick], IMAGE)) for pick in picks)
    return stack(record, name, taken)


def spread(total: int, count: int) -> list[int]:
    """Return the frames at the centres of `count` equal stretches of `total` frames, from 0.

    That is floor((i + 0.5) * total / count) for i of 0 … count - 1: each frame once where total is
    count; some of them again where it is less.
    """
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def stack(
    record: Frames,
    name: str,
    frames: Iterable[tuple[str, NDArray[Any]]],
    bands: Sequence[str] = (),
) -> Prepared:
    """Return the `count` frames, each prepared as `record.frame` says and named for its errors.

    A name that follows itself is the same frame again. `bands` are named where a frame has as many.
    Raises InputError and warns as `pixels`, and warns of frames that stand more than once.
    """
    made: dict[str, tuple[NDArray[np.float32], float]] = {}
    names: list[str] = []
    raster = Raster(name)
    with told_once():
        for label, image in frames:
            names.append(label)
            if label not in made:
                made[label] = _frame(record, raster, label, image, bands)
    if len(made) < record.count:
        warnings.warn(
            f"{name}: has {len(made)} frames of the {record.count} that the model takes; "
            "some stand more than once",
            EdgesparkWarning,
            stacklevel=2,
        )
    arrays = np.stack([made[label][0] for label in names], axis=1)
    return Prepared(
        arrays={"frames": arrays},
        valid=float(np.mean([made[label][1] for label in names])),
    )


def _frame(
    record: Frames, raster: Raster, label: str, image: NDArray[Any], bands: Sequence[str]
) -> tuple[NDArray[np.float32], float]:
    try:
        names = bands if image.shape[:1] == (len(bands),) else ()
        return pixels(grid_from_array(image, raster, record.frame, names), record.frame)
    except InputError as error:
        last = image.ndim == RANK - 1 and image.shape[-1] in COLOURS
        hint = "; are its bands last? np.moveaxis(image, -1, 0) brings them first" if last else ""
        raise InputError(f"{label} of {error}{hint}") from error


@contextmanager
def told_once() -> Iterator[None]:
    """Give each warning once, after all frames: those of a clip are mostly alike."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text, category in dict.fromkeys((str(each.message), each.category) for each in caught):
        warnings.warn(text, category, stacklevel=4)


def _images(clip: object, record: Frames) -> NDArray[Any] | Sequence[object]:
    if isinstance(clip, Sequence) and not isinstance(clip, str | bytes):
        return clip
    array = array_from_value(clip, CLIP)
    if array.ndim != RANK and not (array.ndim == RANK - 1 and len(record.frame.bands) == 1):
        raise InputError(
            f"clip {array.shape}: expected [frames, bands, rows, columns], "
            f"with {len(record.frame.bands)} bands"
        )
    return array
