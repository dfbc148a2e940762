"""From a picture to what a CLIP-like encoder takes: its middle square, normalised."""

import warnings

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning
from edgespark.runtime.grid import Window
from edgespark.runtime.sensory import Picture
from edgespark.runtime.views.bicubic import Bytes, Source, resized

STRETCH = 1.02
"""How much the sides of a pair may differ in their ratio: sizes are whole numbers."""
SEEN = 2
"""Of a picture that is longer than so many times its other side, a square shows less than half."""


def prepare_view(record: Picture, source: Source) -> NDArray[np.float32]:
    """Return float32 [3, size, size]: resized, cut and normalised as the record says.

    As torchvision's Resize, CenterCrop, ToTensor and Normalize do it: the longer side becomes
    floor(size * longer / shorter), the cut begins at half of what is left over, rounded to even.
    """
    rows, columns = scaled(record.size, source.rows, source.columns)
    top, left = (round((side - record.size) / 2) for side in (rows, columns))
    window: Window = left, top, record.size, record.size
    return normalised(record, resized(source, rows, columns).read(window))


def prepare_pair(record: Picture, first: Source, second: Source) -> NDArray[np.float32]:
    """Return float32 [2, 3, size, size]; the second is brought to the size of the first before.

    That stretches it where its sides have another ratio, which is warned of (EdgesparkWarning).
    """
    ratio = first.columns * second.rows / (first.rows * second.columns)
    if not 1 / STRETCH <= ratio <= STRETCH:
        _warn(
            f"the second picture, {second.columns} x {second.rows} pixels, is stretched to the "
            f"{first.columns} x {first.rows} of the first: are they of the same view?"
        )
    same = resized(second, first.rows, first.columns)
    return np.stack([prepare_view(record, each) for each in (first, same)])


def scaled(size: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the rows and columns of a picture whose shorter side is brought to `size`."""
    shorter, longer = min(rows, columns), max(rows, columns)
    long = size * longer // shorter
    return (size, long) if rows <= columns else (long, size)


def normalised(record: Picture, image: Bytes) -> NDArray[np.float32]:
    """Return (v / 255 - mean) / std of the colours [3, rows, columns], in float32."""
    unit = np.arange(256, dtype=np.float32) / np.float32(255)
    table = (unit - _column(record.mean)) / _column(record.std)
    return np.stack([own[colour] for own, colour in zip(table, image, strict=True)])


def standard(record: Picture, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (v - mean) / std of colours [3, rows, columns] that are in 0…1."""
    made: NDArray[np.float32] = image - _column(record.mean)[..., None]
    made /= _column(record.std)[..., None]
    return made


def warn_of_length(name: str, rows: int, columns: int, squares: int = 1) -> None:
    """Warn (EdgesparkWarning) of a picture so long that so many squares do not show most of it."""
    if max(rows, columns) > max(squares, SEEN) * min(rows, columns):
        shown = "the square in its middle is" if squares == 1 else f"{squares} squares of it are"
        _warn(f"{name}: has {columns} x {rows} pixels; only {shown} looked at")


def _column(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
