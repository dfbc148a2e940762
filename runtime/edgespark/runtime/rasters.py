"""GeoTIFF, ENVI and their kin, through rasterio: windows, masks and ground sizes."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from edgespark.runtime.bands import chosen_bands, nanometres
from edgespark.runtime.envi import check_size, data_file, declared_scale, told_bad
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.grid import (
    Grid,
    Piece,
    Raster,
    Window,
    can_be,
    chosen_nodata,
    chosen_window,
)
from edgespark.runtime.paths import checked_file
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.units import PLAIN, checked_dtype, chosen_unit

# A file is opened by the driver of its suffix alone: others may follow links out of the machine.
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".vrt": "VRT", ".jp2": "JP2OpenJPEG"}
EARTH_RADIUS = 6_371_008.8  # metres, IUGG mean radius
CACHE = 64 << 20
"""Bytes of blocks that GDAL may keep (its own choice is 5 % of the machine). Every block is read
once, so more gains nothing: 20000 x 20000 x 3 took 184 MB instead of 1400, in the same time."""


@contextmanager
def open_raster(raster: Raster, record: Imagery) -> Iterator[Grid]:
    """Open a raster file for reading at full resolution, piece by piece, and close it afterwards.

    What a mask band or an alpha of 0 marks is not valid, beside what has the nodata value. Raises
    InputError where the file or the choice of bands and window is wrong, MissingExtra where
    rasterio is not installed.
    """
    path = checked_file(raster.path)
    with _opened(path, DRIVERS[path.suffix.lower()], raster, record) as grid:
        yield grid


@contextmanager
def open_envi(raster: Raster, record: Imagery) -> Iterator[Grid]:
    """Open an ENVI file by its header or its data, as `open_raster` does.

    Bands are found by the header's names and wavelengths; its data ignore value is nodata; its
    gains and offsets, or its reflectance scale factor, are the declared scale; bands of its bad
    band list are warned of. Raises InputError, beside, where one of the two files is missing, and
    where the data are shorter than the header says.
    """
    with _opened(data_file(raster.path), "ENVI", raster, record) as grid:
        yield grid


@contextmanager
def _opened(path: Path, driver: str, raster: Raster, record: Imagery) -> Iterator[Grid]:
    rasterio = _rasterio()
    with rasterio.Env(**({} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": CACHE})):
        _check_name(path)
        with _told(path), warnings.catch_warnings():
            # A raster without a place on the ground is fine: its ground size is then not checked.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            dataset = rasterio.open(path.absolute(), driver=driver)
        with dataset:
            with _told(path):
                header = dataset.tags(ns="ENVI")
                if driver == "ENVI":
                    shape = dataset.count, dataset.height, dataset.width
                    check_size(path, header, shape, dataset.dtypes[0])
                grid = _grid(dataset, raster, record, header)
            yield grid


def _rasterio() -> Any:  # noqa: ANN401 it has no types
    try:
        for name in ("errors", "windows", "enums"):
            import_module(f"rasterio.{name}")
        return import_module("rasterio")
    except ImportError as error:
        raise MissingExtra(
            f"rasters are read with rasterio, which cannot be imported ({error}): "
            "pip install 'edgespark[geo]'"
        ) from error


def _check_name(path: Path) -> None:
    try:
        str(path.absolute()).encode()
    except UnicodeError as error:  # bytes that are no text stand in it as lone surrogates
        raise InputError(
            f"{path}: its name, or that of a folder above it, is not UTF-8, as rasterio needs: "
            "rename it, or read it through a link"
        ) from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn rasterio's errors into one line; the cause, where GDAL gave one, says most.

    GDAL's own errors come through bare from some of rasterio's calls, so both trees are caught.
    """
    errors = _rasterio().errors.RasterioError, import_module("rasterio._err").CPLE_BaseError
    try:
        yield
    except (*errors, UnicodeError) as error:  # a broken description is no UTF-8
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as a raster: {reason}") from error


def _grid(dataset: Any, raster: Raster, record: Imagery, header: Mapping[str, str]) -> Grid:  # noqa: ANN401 rasterio's
    bands = chosen_bands(raster, _names(dataset), record, _wavelengths(dataset, header))
    if bad := told_bad(raster, header, bands):
        warnings.warn(bad, EdgesparkWarning, stacklevel=2)
    window = chosen_window(raster, dataset.width, dataset.height)
    unit = chosen_unit(raster, record, _declared(dataset, bands, raster, header))
    dtype = checked_dtype(raster, _dtype(dataset, bands, raster), record, unit)
    step = _step(dataset, window, record) if raster.overviews else 1
    block = dataset.block_shapes[bands[0] - 1]
    return Grid(
        name=str(raster.path),
        rows=-(-window[3] // step),
        columns=-(-window[2] // step),
        nodata=tuple(
            chosen_nodata(raster, dataset.nodatavals[band - 1], record, dtype) for band in bands
        ),
        extent=_extent(dataset, window),
        block=block,
        phase=(window[1] % block[0], window[0] % block[1]) if step == 1 else (0, 0),
        unit=unit,
        read=_reader(dataset, Path(raster.path), bands, window, step),
    )


def _names(dataset: Any) -> list[str]:  # noqa: ANN401 rasterio's
    alpha = _rasterio().enums.ColorInterp.alpha
    pairs = zip(dataset.descriptions, dataset.colorinterp, strict=True)
    return ["alpha" if interp == alpha else name or "" for name, interp in pairs]


def _dtype(dataset: Any, bands: tuple[int, ...], raster: Raster) -> str:  # noqa: ANN401 rasterio's
    names = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(names) > 1:
        raise InputError(f"{raster.path}: its bands have several types: {', '.join(names)}")
    return str(names[0])


def _wavelengths(dataset: Any, header: Mapping[str, str]) -> list[float | None]:  # noqa: ANN401 rasterio's
    """Return the bands' wavelengths in nanometres; NaN where what the file tells is none."""
    told = header.get("wavelength", "").strip("{} ")  # GDAL may not understand the list
    return [_wavelength(dataset, band, told or None) for band in dataset.indexes]


def _wavelength(dataset: Any, band: int, told: str | None) -> float | None:  # noqa: ANN401 rasterio's
    own = {name.lower(): text for name, text in dataset.tags(band).items()}
    # GDAL's own word for it is rounded to nanometres
    rounded = dataset.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    length = nanometres(own.get("wavelength"), own.get("wavelength_units"))
    length = length or nanometres(rounded, "um")
    told = own.get("wavelength", rounded or told)
    return length if length or told is None else math.nan


def _declared(
    dataset: Any,  # noqa: ANN401 rasterio's
    bands: tuple[int, ...],
    raster: Raster,
    header: Mapping[str, str],
) -> list[tuple[float, float]]:
    """Return the scale and offset that the file declares for each of the bands."""
    pairs = [(dataset.scales[band - 1], dataset.offsets[band - 1]) for band in bands]
    factor = declared_scale(raster, header)
    pairs = [(factor, 0.0) if pair == PLAIN else pair for pair in pairs]
    wrong = [pair for pair in pairs if not can_be(*pair)]
    if wrong and raster.scale is None and raster.offset is None:
        raise InputError(
            f"{raster.path}: declares scale {wrong[0][0]:g} and offset {wrong[0][1]:g}, which no "
            "sample can have: say the right ones with scale= and offset="
        )
    return pairs


def _step(dataset: Any, window: Window, record: Imagery) -> int:  # noqa: ANN401 rasterio's
    """Return the greatest reduction among the overviews that still has the encoder's size."""
    most = min(window[2] // record.columns, window[3] // record.rows)
    return max((step for step in dataset.overviews(1) if step <= most), default=1)


def _reader(
    dataset: Any,  # noqa: ANN401 rasterio's
    path: Path,
    bands: tuple[int, ...],
    within: Window,
    step: int,
) -> Callable[[Window], Piece]:
    rasterio = _rasterio()
    flags = {flag for band in bands for flag in dataset.mask_flag_enums[band - 1]}
    masked = rasterio.enums.MaskFlags.per_dataset in flags
    names = _names(dataset)
    alpha = None if masked or "alpha" not in names else names.index("alpha") + 1

    def read(window: Window) -> Piece:
        column, row, width, height = (step * each for each in window)
        width, height = min(width, within[2] - column), min(height, within[3] - row)
        where = rasterio.windows.Window(within[0] + column, within[1] + row, width, height)
        shape = (window[3], window[2])
        with _told(path):
            samples = dataset.read(bands, window=where, out_shape=(len(bands), *shape))
            if masked:
                masks = dataset.read_masks(bands, window=where, out_shape=(len(bands), *shape))
                return samples, masks > 0
            if alpha is not None:
                return samples, dataset.read([alpha], window=where, out_shape=(1, *shape)) > 0
            return samples, None

    return read


def _extent(dataset: Any, window: Window) -> tuple[float, float] | None:  # noqa: ANN401 rasterio's
    """Return how many metres the window's columns and rows reach over; None where that is unknown.

    Projected units are taken as they are (Web Mercator's stretch towards the poles is not undone);
    degrees are metres by the latitude of the window's middle. Of a rotated raster, along its axes.
    """
    a, b, _, d, e, f = dataset.transform[:6]
    middle = window[0] + window[2] / 2, window[1] + window[3] / 2
    units = _metres(dataset.crs, d * middle[0] + e * middle[1] + f)
    if units is None:
        return None
    across = math.hypot(a * units[0], d * units[1]) * window[2]
    down = math.hypot(b * units[0], e * units[1]) * window[3]
    return (across, down) if min(across, down) > 0 and math.isfinite(max(across, down)) else None


def _metres(crs: Any, northing: float) -> tuple[float, float] | None:  # noqa: ANN401 rasterio's
    """Return the metres of one unit of the CRS, eastward and northward."""
    try:
        if crs and crs.is_geographic:
            radians = crs.units_factor[1]
            return EARTH_RADIUS * radians * math.cos(northing * radians), EARTH_RADIUS * radians
        if crs and crs.is_projected:
            return (float(crs.linear_units_factor[1]),) * 2
    except _rasterio().errors.CRSError:  # units that PROJ does not know: as good as none
        return None
    return None
