"""Pictures in files and in memory, opened as colours of 8 bits that are read piece by piece."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arrays import array_from_value, grid_from_array, open_npy
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.grid import Grid, Raster, Unit, Window
from edgespark.runtime.paths import by_suffix, check_path
from edgespark.runtime.pictures import open_picture
from edgespark.runtime.preprocessing import Band, Imagery, RasterDType
from edgespark.runtime.rasters import open_raster
from edgespark.runtime.units import DTYPES, OUTSIDE
from edgespark.runtime.views.bicubic import Bytes

Open = Callable[[Raster, Imagery], AbstractContextManager[Grid]]

EXPECTED = "an array [3 or 1, rows, columns] of uint8, a path, a PictureFile or a Raster"
WHITE = 255.0
COLOURS, GREY = ("red", "green", "blue"), ("grey",)
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
TYPES = (*INTEGERS, "float16", "float32", "float64")
"""Types that bands are chosen of; which of them a picture may have is told afterwards."""
LAST = (1, 3, 4)
"""How many bands an image with the bands last has."""
OPENERS: dict[str, Open] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg"), open_picture),
    **dict.fromkeys((".tif", ".tiff", ".vrt", ".jp2"), open_raster),
    ".npy": open_npy,
}


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file, and the part of it that is meant.

    `bands` are counted from 1: red, green and blue, or one for grey. `window` is (column, row,
    width, height) in pixels. `range` says which samples, as they are stored, become black and white
    (0 and 255), linearly; what is beyond is cut. Files of more than 8 bits need it, such as depth
    maps; with the greater number first, near becomes bright. Raises InputError where a value cannot
    be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    bands: tuple[int, ...] | None = None
    window: Window | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "picture")
        self.raster()

    def raster(self) -> Raster:
        """Return the same as a Raster whose unit is 0…255."""
        scale, offset = (None, None) if self.range is None else _line(self.range)
        return Raster(self.path, bands=self.bands, window=self.window, scale=scale, offset=offset)


def _line(span: object) -> tuple[float, float]:
    """Return the scale and offset that bring LOW and HIGH to 0 and 255."""
    if isinstance(span, tuple | list) and len(span) == 2 and all(map(is_number, span)):  # noqa: PLR2004 two ends
        low, high = map(float, span)
        scale = WHITE / (high - low) if high != low else math.inf
        if scale and math.isfinite(scale) and math.isfinite(low * scale):
            return scale, -low * scale
    raise InputError(f"range must be two different numbers, black and white, got {span!r}")


class Pixels:
    """The colours of an opened picture, piece by piece; it counts what is missing of them.

    A single band stands for all three colours. What is nodata or NaN is black; what is transparent
    keeps the colour that is stored, as in Pillow's conversion to RGB.
    """

    def __init__(self, grid: Grid) -> None:
        """Take a grid of one or three bands; InputError where it is not of 8 bits, nor told how."""
        self.name, self.rows, self.columns = grid.name, grid.rows, grid.columns
        self._read, self._nodata, self._unit = grid.read, grid.nodata, grid.unit
        self._seen = self._missing = self._outside = 0
        if self._unit is not None and self._unit.declared:
            scale, offset = self._unit.pairs[0]
            raise _unclear(self.name, f"declares scale {scale:g} and offset {offset:g}")
        dtype = grid.read((0, 0, 1, 1))[0].dtype
        if self._unit is None and dtype != np.uint8:
            raise _unclear(self.name, f"holds {dtype} samples")

    def read(self, window: Window) -> Bytes:
        """Return the colours of a window, uint8 [3, rows, columns]."""
        samples, mask = self._read(window)
        absent, colours = _absent(samples, self._nodata), self._colours(samples)
        if absent is not None:
            colours = np.where(absent, 0, colours)
        missing = absent if mask is None else ~mask | (False if absent is None else absent)
        self._seen += samples.size
        if missing is not None:
            self._missing += int(np.count_nonzero(np.broadcast_to(missing, samples.shape)))
        return np.broadcast_to(colours.astype(np.uint8, copy=False), (3, *samples.shape[1:]))

    def valid(self) -> float:
        """Return the share of valid samples among those that were read, 0…1.

        Raises InputError where there is none; warns (EdgesparkWarning) where most are beyond the
        range.
        """
        if self._missing == self._seen:
            raise InputError(f"{self.name}: has no valid sample: all are missing or transparent")
        if self._outside > OUTSIDE * self._seen:
            warnings.warn(
                f"{self.name}: most of its samples are beyond range=, and become black or white",
                EdgesparkWarning,
                stacklevel=2,
            )
        return 1 - self._missing / self._seen

    def _colours(self, samples: NDArray[Any]) -> NDArray[Any]:
        if self._unit is None:
            return samples
        values = _in_unit(samples, self._unit)
        with np.errstate(invalid="ignore"):
            beyond = np.abs(values - WHITE / 2) > WHITE / 2 + 0.5  # half a step is but rounding
        self._outside += int(np.count_nonzero(beyond))
        return np.rint(np.clip(np.nan_to_num(values, nan=0.0), 0, WHITE))


def _unclear(name: str, reason: str) -> InputError:
    return InputError(
        f"{name}: {reason}; a picture has uint8 samples, 0…255: convert them, or say with "
        "range=LOW,HIGH which samples of a file are black and white (PictureFile)"
    )


def _in_unit(samples: NDArray[Any], unit: Unit) -> NDArray[np.float64]:
    scale, offset = np.array(unit.pairs).T[..., None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        values: NDArray[np.float64] = samples * scale + offset
    return values


def _absent(samples: NDArray[Any], nodata: tuple[float | None, ...]) -> NDArray[np.bool_] | None:
    """Return which samples [bands, rows, columns] are nodata or NaN; None where none can be."""
    if samples.dtype.kind != "f" and all(value is None for value in nodata):
        return None
    absent = np.isnan(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, np.bool_)
    with np.errstate(over="ignore"):
        for band, value in enumerate(nodata):
            if value is not None:
                absent[band] |= samples[band] == samples.dtype.type(value)
    return absent


@contextmanager
def opened(value: object, size: int) -> Iterator[Pixels]:
    """Open a picture, and close it afterwards: what EXPECTED says.

    Files are PNG and JPEG (turned as their EXIF orientation says, unlike with Pillow alone), and
    GeoTIFF, VRT, JPEG 2000 and .npy, of one band or three. `size` is what the picture is made for:
    a Raster with overviews takes none that is smaller. Raises InputError for what is no picture,
    MissingExtra where a library is not installed.
    """
    if isinstance(value, str | Path):
        value = PictureFile(value)
    if isinstance(value, PictureFile):
        value = value.raster()
    if isinstance(value, Raster):
        with _either(by_suffix(value.path, OPENERS), value, size) as grid:
            yield Pixels(grid)
    else:
        yield Pixels(_grid(array_from_value(value, EXPECTED), size))


def _grid(array: NDArray[Any], size: int) -> Grid:
    raster = Raster(f"array {array.shape}")
    if array.dtype != np.uint8:
        raise _unclear(str(raster.path), f"holds {array.dtype} samples")
    try:
        with _either(
            lambda *each: nullcontext(grid_from_array(array, *each)), raster, size
        ) as grid:
            return grid
    except InputError as error:
        last = array.ndim == 3 and array.shape[-1] in LAST  # noqa: PLR2004 bands, rows, columns
        hint = "; are its bands last? np.moveaxis(image, -1, 0) brings them first" if last else ""
        raise InputError(f"{error}{hint}") from error


@contextmanager
def _either(open_file: Open, raster: Raster, size: int) -> Iterator[Grid]:
    """Open a picture as colours; where it is none, as grey; InputError where it is neither."""
    with ExitStack() as stack:
        try:
            grid = stack.enter_context(open_file(raster, _record(COLOURS, size)))
        except MissingInput:
            raise
        except InputError as error:
            try:
                grid = stack.enter_context(open_file(raster, _record(GREY, size)))
            except InputError as other:
                grey = _of_count(error, COLOURS) and not _of_count(other, GREY)
                raise _of_pictures(other if grey else error) from None
        yield grid


def _of_pictures(error: InputError) -> InputError:
    """Return the error, which for a type of samples tells of options that pictures have."""
    reason, known, _ = str(error).partition(" samples; the model takes ")
    if not known:
        return error
    return InputError(
        f"{reason} samples; a picture has uint8 samples, 0…255, or with range=LOW,HIGH one of "
        f"{', '.join(DTYPES)}: convert them first"
    )


def _of_count(error: InputError, names: tuple[str, ...]) -> bool:
    """Tell whether it was the number of bands that did not fit."""
    return f"expected {len(names)} ({', '.join(names)})" in str(error)


def _record(names: tuple[str, ...], size: int) -> Imagery:
    bands = tuple(Band(name=name, low=0.0, high=WHITE, mean=0.0, std=1.0) for name in names)
    return Imagery(
        bands=bands,
        rows=size,
        columns=size,
        dtypes=cast("tuple[RasterDType, ...]", TYPES),
        unit="colours of 0…255",
        min_valid=1.0,
        gsd_low=1.0,
        gsd_high=1.0,
    )
