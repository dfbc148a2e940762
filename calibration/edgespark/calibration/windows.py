"""Windows of rasters for calibration: how large a raster is, and how much of a window is valid.

rasterio is imported when a raster is opened. What counts as valid is what the runtime's reader
takes for valid, so that no window is chosen that it would then refuse.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.sampling import Room
from edgespark.runtime.arguments import Argument
from edgespark.runtime.envi import HEADERS, check_size, data_file
from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.grid import Raster, Window, chosen_window
from edgespark.runtime.imagery import GREATEST, MOST_SAMPLES
from edgespark.runtime.paths import checked_file
from edgespark.runtime.rasters import CACHE, DRIVERS
from edgespark.runtime.resample import pieces

ROUNDING = 1e-6
"""Samples; a share such as 0.9 is no binary number."""
SAMPLES = (".dat", ".img", ".bsq", ".bil", ".bip", ".raw", ".bin", "")
"""Suffixes of ENVI's samples, which a header beside them tells from anything else."""


def is_raster(path: Path) -> bool:
    """Tell by its name, and a header beside it, whether a file is a raster that has windows."""
    if path.suffix.lower() in SAMPLES:
        beside = [path.with_name(path.name + end) for end in HEADERS]
        return any(each.is_file() for each in (*beside, *map(path.with_suffix, HEADERS)))
    return path.suffix.lower() in (*DRIVERS, ".hdr")


def room_of(path: Path, size: int) -> Room:
    """Return the size of a raster, and of its windows; InputError where it cannot be read."""
    with _opened(path) as dataset:
        chosen_window(Raster(path), dataset.width, dataset.height)
        return Room(columns=dataset.width, rows=dataset.height, size=size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """How much of a window must be valid, 0…1, in the bands and by the nodata that are meant.

    `options` are those of a raster on the command line.
    """

    least: float
    options: Mapping[str, str] = field(default_factory=dict)

    def suits(self, path: Path, window: Window) -> bool:
        """Tell whether enough of it is valid, and none of that is NaN, infinite or above 1e30.

        The share is that of all its samples, as the runtime counts them. A window is read in
        pieces, and no further than to where too little can be valid. InputError where it cannot be.
        """
        query = "&".join(f"{name}={text}" for name, text in self.options.items())
        raster = Argument(f"@{path}?{query}" if query else f"@{path}").raster()
        with _opened(path) as dataset:
            bands = raster.bands or _bands(dataset)
            if max(bands) > dataset.count:
                raise InputError(f"{path}: has {dataset.count} bands; bands {bands} are meant")
            total = window[2] * window[3] * len(bands)
            room = (1 - self.least) * total + ROUNDING
            for part, samples in _read(dataset, bands, window):
                own = _valid(dataset, raster, bands, part, samples)
                room -= np.count_nonzero(~own)
                if room < 0 or _strange(samples, own):
                    return False
        return True


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    rasterio = _rasterio()
    errors = rasterio.errors.RasterioError, import_module("rasterio._err").CPLE_BaseError
    driver = DRIVERS.get(path.suffix.lower(), "ENVI")
    file = data_file(path) if driver == "ENVI" else checked_file(path)
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(file.absolute(), driver=driver) as dataset:
                if driver == "ENVI":
                    shape = dataset.count, dataset.height, dataset.width
                    check_size(file, dataset.tags(ns="ENVI"), shape, dataset.dtypes[0])
                yield dataset
    except (*errors, UnicodeError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as a raster: {reason}") from error


def _rasterio() -> Any:  # noqa: ANN401 it has no types
    try:
        for name in ("errors", "windows", "enums"):
            import_module(f"rasterio.{name}")
        return import_module("rasterio")
    except ImportError as error:
        raise MissingExtra(
            f"windows are sampled with rasterio, which cannot be imported ({error}): "
            "pip install 'edgespark[geo]'"
        ) from error


def _bands(dataset: Any) -> tuple[int, ...]:  # noqa: ANN401 rasterio's
    """Return all bands but alpha."""
    alpha = _rasterio().enums.ColorInterp.alpha
    pairs = zip(dataset.indexes, dataset.colorinterp, strict=True)
    return tuple(band for band, interp in pairs if interp != alpha) or tuple(dataset.indexes)


def _read(
    dataset: Any,  # noqa: ANN401 rasterio's
    bands: tuple[int, ...],
    window: Window,
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Give the samples [bands, rows, columns] of a window piece by piece, at full resolution."""
    block = dataset.block_shapes[bands[0] - 1]
    phase = window[1] % block[0], window[0] % block[1]
    most = max(MOST_SAMPLES // len(bands), 1)
    for column, row, width, height in pieces((window[3], window[2]), block, phase, most):
        part = _rasterio().windows.Window(window[0] + column, window[1] + row, width, height)
        yield part, dataset.read(bands, window=part)


def _valid(
    dataset: Any,  # noqa: ANN401 rasterio's
    raster: Raster,
    bands: tuple[int, ...],
    part: Any,  # noqa: ANN401 rasterio's window
    samples: NDArray[Any],
) -> NDArray[np.bool_]:
    """Return which samples hold: by masks or alpha, and by the nodata that is meant."""
    valid = _masked(dataset, bands, part, samples.shape)
    for k, band in enumerate(bands):
        declared = dataset.nodatavals[band - 1]
        nodata = declared if raster.nodata is None else raster.nodata
        if nodata is not None:
            valid[k] &= _other(samples[k], nodata)
    if raster.linear:
        scale, offset = (1 if raster.scale is None else raster.scale), raster.offset or 0
        valid &= samples * scale + offset > 0
    return valid


def _masked(
    dataset: Any,  # noqa: ANN401 rasterio's
    bands: tuple[int, ...],
    part: Any,  # noqa: ANN401 rasterio's window
    shape: tuple[int, ...],
) -> NDArray[np.bool_]:
    """Return what a mask band leaves, else what is not wholly transparent, else all."""
    enums = _rasterio().enums
    flags = {flag for band in bands for flag in dataset.mask_flag_enums[band - 1]}
    if enums.MaskFlags.per_dataset in flags:
        return np.asarray(dataset.read_masks(bands, window=part) > 0)
    made = np.ones(shape, np.bool_)
    if enums.ColorInterp.alpha in dataset.colorinterp:
        made &= (
            dataset.read(dataset.colorinterp.index(enums.ColorInterp.alpha) + 1, window=part) > 0
        )
    return made


def _other(samples: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    if np.isnan(nodata):
        return np.asarray(~np.isnan(samples))
    own = samples.dtype.type(nodata) if samples.dtype.kind == "f" else nodata
    return np.asarray(samples != own)


def _strange(samples: NDArray[Any], valid: NDArray[np.bool_]) -> bool:
    """Tell whether a sample that holds is no finite number, which the runtime refuses."""
    if samples.dtype.kind != "f":
        return False
    with np.errstate(invalid="ignore"):
        return bool((valid & ~(np.abs(samples) <= GREATEST)).any())
