"""Arrays in memory and in .npy files, and such arrays as grids."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.bands import chosen_bands
from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Grid, Piece, Raster, Window, chosen_nodata, chosen_window
from edgespark.runtime.npy import NpyFile, npy_file
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.units import checked_dtype, chosen_unit

RANK = 3


def grid_from_array(
    array: NDArray[Any], raster: Raster, record: Imagery, names: Sequence[str] = ()
) -> Grid:
    """Return the part that `raster` means (its path is only a name here) of an array.

    `array` is [bands, rows, columns], or [rows, columns] where the record has one band; where it is
    a numpy.ma.MaskedArray, what is masked is not valid. Raises InputError where that cannot be.
    """
    if raster.overviews:
        raise InputError(f"{raster.path}: only GeoTIFFs and the like have overviews")
    if array.ndim == RANK - 1 and len(record.bands) == 1:
        array = array[None]
    if array.ndim != RANK:
        raise InputError(
            f"{raster.path}: has shape {array.shape}; expected [bands, rows, columns], "
            f"with {len(record.bands)} bands"
        )
    unit = chosen_unit(raster, record)
    dtype = checked_dtype(raster, array.dtype.name, record, unit)
    bands = chosen_bands(raster, names or [""] * len(array), record)
    window = chosen_window(raster, array.shape[2], array.shape[1])
    return Grid(
        name=str(raster.path),
        rows=window[3],
        columns=window[2],
        nodata=(chosen_nodata(raster, None, record, dtype),) * len(bands),
        block=(1, window[2]),
        unit=unit,
        read=_reader(array, bands, window),
    )


def _reader(
    array: NDArray[Any], bands: tuple[int, ...], within: Window
) -> Callable[[Window], Piece]:
    chosen = [band - 1 for band in bands]

    def read(window: Window) -> Piece:
        column, row = within[0] + window[0], within[1] + window[1]
        part = array[chosen, row : row + window[3], column : column + window[2]]
        if not isinstance(part, np.ma.MaskedArray):
            return part, None
        return part.data, ~np.ma.getmaskarray(part)

    return read


def array_from_value(value: object, expected: str) -> NDArray[Any]:
    """Return the numpy array of a value that has one, a masked array or an NpyFile as it is.

    InputError where there is none; `expected` says what was.
    """
    if isinstance(value, np.ma.MaskedArray | NpyFile):
        return cast("NDArray[Any]", value)
    if not hasattr(value, "__array__"):
        raise InputError(f"expected {expected}, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on another device, for one
        raise InputError(f"a {type(value).__name__} gives no numpy array: {error}") from error


def unmasked(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of numbers with NaN where it is masked, then float64; others as they are."""
    if isinstance(array, np.ma.MaskedArray) and array.dtype.kind in "iuf":
        return np.ma.filled(array.astype(np.float64), np.nan)
    return array


@contextmanager
def open_npy(raster: Raster, record: Imagery) -> Iterator[Grid]:
    """Open a .npy file, as `mapped_npy` does."""
    yield grid_from_array(mapped_npy(raster.path), raster, record)


def mapped_npy(name: str | Path) -> NDArray[Any]:
    """Return what stands for the array of a .npy file: an NpyFile. Raises InputError.

    It has the shape and the type of an array, and is read where it is indexed: of a file that does
    not fit the memory, a part still does. Pickled objects are refused.
    """
    return cast("NDArray[Any]", npy_file(name))
