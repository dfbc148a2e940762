"""Rasters as the preprocessing sees them: which part of which file, read piece by piece."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import check_path
from edgespark.runtime.preprocessing import Imagery

Window: TypeAlias = tuple[int, int, int, int]
"""Column, row, width, height, in pixels, from the upper left corner."""

Piece: TypeAlias = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Samples [bands, rows, columns]; and which are valid, [bands or 1, rows, columns] (None: all)."""

WINDOW_SIZE = 4
MOST = 1e15
"""No unit is so many times another, and no zero lies so far off; samples times it stay finite."""


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster file, and the part of it that is meant.

    `bands` are counted from 1, in the order that the model takes them; they may repeat. `window` is
    (column, row, width, height) in pixels of the full resolution. `nodata` takes the place of the
    value that the file declares (NaN is one); its masks and alpha still hold. `overviews` allows
    reading the file's reduced copies, made with whatever resampling their maker chose. `scale` and
    `offset` say how samples become the model's unit, x * scale + offset, whatever the file and the
    model say (one alone: 1 and 0 for the other), each within 1e15. `linear` says that samples are
    power, which becomes decibels; zeros and less are then not valid. Raises InputError where a
    value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    bands: tuple[int, ...] | None = None
    window: Window | None = None
    nodata: float | None = None
    overviews: bool = False
    scale: float | None = None
    offset: float | None = None
    linear: bool = False

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "raster")
        bands, window = _whole(self.bands, "bands"), _whole(self.window, "window")
        if bands is not None and (not bands or min(bands) < 1):
            raise InputError(f"bands {self.bands} must be one or more numbers, counted from 1")
        if window is not None and (len(window) != WINDOW_SIZE or min(window) < 0):
            raise InputError(
                f"window {self.window} must be column, row, width, height, none below 0"
            )
        if window is not None and 0 in window[2:]:
            raise InputError(f"window {self.window} is empty: width and height must be 1 or more")
        if self.nodata is not None and not is_number(self.nodata):
            raise InputError(f"nodata must be a number, got {shortened(self.nodata)}")
        _check_factors(self.scale, self.offset)
        object.__setattr__(self, "bands", bands)  # plain whole numbers, whatever was given
        object.__setattr__(self, "window", window)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """How samples become the record's unit, where that is not as the record says.

    `pairs` are the scale and offset of each band; `declared` tells that they are the file's word.
    Where `linear`, what they give is power, whose decibels are meant.
    """

    pairs: tuple[tuple[float, float], ...]
    declared: bool = False
    linear: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """An opened raster, cut to the bands and the window that are meant.

    `read` gives the samples of a window of it. `nodata` is the invalid value of each band. `extent`
    is how far the columns and the rows reach on the ground, in metres, where that is known. `block`
    (rows, columns) is what is cheapest to read at a time, `phase` how much of the first one lies
    before the upper left corner. `unit` is None where samples are as the record says.
    """

    name: str
    rows: int
    columns: int
    nodata: tuple[float | None, ...]
    extent: tuple[float, float] | None = None
    block: tuple[int, int]
    phase: tuple[int, int] = (0, 0)
    unit: Unit | None = None
    read: Callable[[Window], Piece]


def chosen_window(raster: Raster, columns: int, rows: int) -> Window:
    """Return the window to read; InputError where it is empty or leaves the raster."""
    if not columns or not rows:
        raise InputError(f"{raster.path}: is empty: {columns} columns, {rows} rows")
    column, row, width, height = raster.window or (0, 0, columns, rows)
    if column + width > columns or row + height > rows:
        raise InputError(
            f"{raster.path}: window {column},{row},{width},{height} (column, row, width, height) "
            f"leaves the raster of {columns} columns and {rows} rows"
        )
    return column, row, width, height


def chosen_nodata(
    raster: Raster, declared: float | None, record: Imagery, dtype: np.dtype[Any]
) -> float | None:
    """Return the value of missing samples: the caller's, else the file's, else the record's.

    None where no sample of that type can have it; InputError where that is the caller's.
    """
    if raster.nodata is not None and not _can_hold(dtype, raster.nodata):
        raise InputError(
            f"{raster.path}: {dtype} samples cannot have the nodata value {raster.nodata}"
        )
    first = (each for each in (raster.nodata, declared, record.nodata) if each is not None)
    nodata = next(first, None)
    return nodata if nodata is not None and _can_hold(dtype, nodata) else None


def _can_hold(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _check_factors(scale: float | None, offset: float | None) -> None:
    for name, value in (("scale", scale), ("offset", offset)):
        if value is not None and not (is_number(value) and math.isfinite(value)):
            raise InputError(f"{name} must be a number, got {shortened(value)}")
    if scale == 0:
        raise InputError("scale must be other than 0: all samples would become one value")
    if not can_be(1 if scale is None else float(scale), float(offset or 0)):
        raise InputError(
            f"scale must be from {1 / MOST:g} to {MOST:g}, with either sign, and offset at most "
            f"{MOST:g}, got scale={scale} and offset={offset}"
        )


def can_be(scale: float, offset: float) -> bool:
    """Tell whether any two units can differ by that scale and offset."""
    return 1 / MOST <= abs(scale) <= MOST and abs(offset) <= MOST


def _whole(numbers: Sequence[int] | None, name: str) -> tuple[int, ...] | None:
    try:
        return None if numbers is None else tuple(operator.index(number) for number in numbers)
    except TypeError as error:
        raise InputError(f"{name} must be whole numbers, got {numbers!r}") from error
