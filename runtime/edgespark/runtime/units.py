"""How a file's samples become the record's unit, where that is not as the record says."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Grid, Raster, Unit
from edgespark.runtime.preprocessing import Imagery, RasterDType
from edgespark.runtime.resample import Doubles

PLAIN = (1.0, 0.0)
FAR = 10.0
"""From this ratio of two scales on, samples that fit both could be meant either way."""
OUTSIDE = 0.5
"""The share of a band's samples outside its range from which on the unit is doubted."""
DTYPES = (*get_args(RasterDType), "int8", "uint32")
"""The types that samples of a told unit may have."""


def chosen_unit(
    raster: Raster, record: Imagery, declared: Sequence[tuple[float, float]] = ()
) -> Unit | None:
    """Return how the samples become the record's unit; None where as the record says.

    The caller's scale and offset come first (one alone: 1 and 0 for the other), then what the file
    declares for each band where that is neither plain (1 and 0) nor the record's. Power starts from
    plain. Raises InputError for power where the record has no decibels, and for a declared scale
    that is 0 or no number.
    """
    if raster.linear and not record.decibel:
        raise InputError(f"{raster.path}: linear=true is for power; the model takes {record.unit}")
    own = [PLAIN if raster.linear else (band.scale, band.offset) for band in record.bands]
    if raster.scale is not None or raster.offset is not None:
        pair = float(1 if raster.scale is None else raster.scale), float(raster.offset or 0)
        return Unit(pairs=(pair,) * len(own), linear=raster.linear)
    pairs = own
    if declared:
        pairs = [ours if each == PLAIN else each for each, ours in zip(declared, own, strict=True)]
    _check_scales(raster, pairs)
    if pairs == own and not raster.linear:
        return None
    return Unit(pairs=tuple(pairs), declared=pairs != own, linear=raster.linear)


def _check_scales(raster: Raster, pairs: Sequence[tuple[float, float]]) -> None:
    for scale, offset in pairs:
        if not scale or not math.isfinite(scale) or not math.isfinite(offset):
            raise InputError(
                f"{raster.path}: declares scale {scale:g} and offset {offset:g}, which no sample "
                "can have: say the right ones with scale= and offset="
            )


def checked_dtype(raster: Raster, name: str, record: Imagery, unit: Unit | None) -> np.dtype[Any]:
    """Return the samples' type by its name; InputError unless the record is meant for it.

    Where the unit is told, by the caller or the file, every type of real numbers is fine.
    """
    if name not in (record.dtypes if unit is None else DTYPES):
        raise InputError(
            f"{raster.path}: holds {name} samples; the model takes {', '.join(record.dtypes)}, "
            f"in {record.unit}: convert them first, or say how they become that with scale= and "
            "offset="
        )
    return np.dtype(name)


def in_unit(record: Imagery, unit: Unit | None) -> Imagery:
    """Return the record with the scales and offsets of the unit."""
    if unit is None:
        return record
    pairs = zip(record.bands, unit.pairs, strict=True)
    return replace(
        record, bands=tuple(replace(band, scale=pair[0], offset=pair[1]) for band, pair in pairs)
    )


def check_declared(grid: Grid, record: Imagery, outside: Doubles) -> None:
    """Refuse what a file declares of its unit where it cannot be so, or need not.

    `outside` [2, bands] is the share of each band's samples that are outside its range, as the file
    declares them and as the record does. Raises InputError for a declared scale with which most
    samples leave the range, and for one that is FAR from the record's where both would fit.
    """
    if grid.unit is None or not grid.unit.declared:
        return
    for k, (band, (scale, offset)) in enumerate(zip(record.bands, grid.unit.pairs, strict=True)):
        ratio = max(abs(scale / band.scale), abs(band.scale / scale))
        wrong = outside[0, k] > OUTSIDE
        if wrong or (ratio >= FAR and outside[1, k] <= OUTSIDE and not grid.unit.linear):
            reason = "its samples then leave the range" if wrong else "its samples fit both"
            raise InputError(
                f"{grid.name}: declares scale {scale:g} and offset {offset:g}; the model expects "
                f"{band.scale:g} and {band.offset:g} for {band.name!r}, and {reason}: say which "
                "they have with scale= and offset="
            )
