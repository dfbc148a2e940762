"""From raw samples to what an imagery encoder takes, as its record says."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Grid, Window
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.resample import Average, Doubles, pieces
from edgespark.runtime.units import OUTSIDE, check_declared, in_unit

MOST_SAMPLES = 1 << 20
"""How many samples are held at a time: 8 MiB as float64, with about as much again for masks."""
GREATEST = 1e30
"""No sensor gives more; the usual undeclared fill of float rasters, -3.4e38, does."""
DECIBEL_SPAN = 1000.0
"""Beyond this many dB, up or down, sums of powers leave the range of float64."""
DISTORTION = 1.5


def pixels(grid: Grid, record: Imagery) -> tuple[NDArray[np.float32], float]:
    """Return float32 [1, bands, rows, columns] for the encoder, and the valid share, 0…1.

    Raw x becomes v = x * scale + offset, is averaged over each cell (as power where the record says
    decibel), cut to [low, high] and given as (v - mean) / std. Scale and offset are the grid's
    where it has a unit; where that is linear, v is power, whose decibels are meant, and zeros and
    less are not valid. Every band has its own valid samples; a cell that has none is given as the
    band's mean, which is 0. Raises InputError where a valid sample is no finite number, too few are
    valid, or what the file declares of its unit cannot be; warns (EdgesparkWarning) where the
    raster is enlarged or distorted, has pixels of a size that the model does not know, an empty
    band, or a band that seems to be in another unit.
    """
    own, record = record, in_unit(record, grid.unit)
    means, valid, outside = _averages(grid, record, own)
    if valid < record.min_valid:
        raise InputError(
            f"{grid.name}: only {valid:.2%} of its samples are valid ({_invalid(grid)}); "
            f"the model needs {record.min_valid:.2%}"
        )
    check_declared(grid, own, outside)
    _warn_of_fit(grid, record)
    _warn_of_unit(grid, record, outside[0])
    empty = np.isnan(means)
    names = [band.name for band, none in zip(record.bands, empty, strict=True) if none.all()]
    if names:
        _warn(f"{grid.name}: no sample of {', '.join(names)} is valid; they count as their mean")
    values = np.clip(means, _column(record, "low"), _column(record, "high"))
    normal = (values - _column(record, "mean")) / _column(record, "std")
    return np.where(empty, 0, normal)[None].astype(np.float32), valid


def _averages(grid: Grid, record: Imagery, own: Imagery) -> tuple[Doubles, float, Doubles]:
    """Return the cells' means, the valid share, and each band's shares outside its range.

    Those are [1 or 2, bands]: as `record` understands the samples, and, where the file declares
    that, as `own` does.
    """
    count, size = len(record.bands), grid.rows * grid.columns
    linear = grid.unit is not None and grid.unit.linear
    ranges = [_range(record, linear=linear)]
    if grid.unit is not None and grid.unit.declared:
        ranges.append(_range(own, linear=False))
    missing, outside = np.zeros(count), np.zeros((len(ranges), count))
    average = Average(count, (record.rows, record.columns), (grid.rows, grid.columns))
    scale, offset = _column(record, "scale"), _column(record, "offset")
    for window in pieces((grid.rows, grid.columns), grid.block, grid.phase, MOST_SAMPLES // count):
        samples, mask = grid.read(window)
        valid = _valid(samples, mask, grid.nodata)
        _check(samples, valid, window, grid, record)
        values = samples.astype(np.float64)
        if linear:
            with np.errstate(invalid="ignore"):
                positive = values * scale + offset > 0
            valid = positive if valid is None else valid & positive
        if valid is not None:
            missing += np.count_nonzero(~valid, axis=(1, 2))
        outside += [_strange(values, valid, *each) for each in ranges]
        if record.decibel:
            values = _power(values * scale + offset, linear=linear)
        if valid is not None:
            values[~valid] = 0
        average.add(window, values, valid)
    share = 1 - float(missing.sum()) / (count * size)
    means = average.means()
    means = 10 * np.log10(means) if record.decibel else means * scale + offset
    return means, share, outside / np.maximum(size - missing, 1)


def _power(values: Doubles, *, linear: bool) -> Doubles:
    """Return the power of decibels, or of what is power already."""
    if linear:
        return values
    return np.asarray(10 ** (np.clip(values, -DECIBEL_SPAN, DECIBEL_SPAN) / 10))


def _strange(
    values: Doubles, valid: NDArray[np.bool_] | None, low: Doubles, high: Doubles
) -> NDArray[np.intp]:
    """Return how many valid samples of each band are outside its range."""
    with np.errstate(invalid="ignore"):
        strange = (values < low) | (values > high)
    if valid is not None:
        strange &= valid
    return np.asarray(np.count_nonzero(strange, axis=(1, 2)))


def _range(record: Imagery, *, linear: bool) -> tuple[Doubles, Doubles]:
    """Return the least and the greatest raw sample that each band expects."""
    scale, offset = _column(record, "scale"), _column(record, "offset")
    low, high = _column(record, "low"), _column(record, "high")
    if linear:
        low, high = _power(low, linear=False), _power(high, linear=False)
    elif record.decibel:
        # powers taken for decibels are all above 0, where a band of negative mean hardly ever is
        high = np.where(_column(record, "mean") < 0, np.minimum(high, 0), high)
    ends = np.stack([(low - offset) / scale, (high - offset) / scale])
    return ends.min(axis=0), ends.max(axis=0)  # a negative scale turns them round


def _valid(
    samples: NDArray[Any], mask: NDArray[np.bool_] | None, nodata: tuple[float | None, ...]
) -> NDArray[np.bool_] | None:
    """Return which samples [bands, rows, columns] hold; None where all do."""
    if mask is None and all(value is None for value in nodata):
        return None
    valid = np.ones(samples.shape, np.bool_)
    if mask is not None:
        valid &= mask
    with np.errstate(invalid="ignore", over="ignore"):
        for band, value in enumerate(nodata):
            if value is not None:
                own = samples.dtype.type(value)
                valid[band] &= ~np.isnan(samples[band]) if np.isnan(own) else samples[band] != own
    return valid


def _check(
    samples: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    window: Window,
    grid: Grid,
    record: Imagery,
) -> None:
    """Refuse a valid sample that is no finite number, or greater than any measurement."""
    if samples.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(samples) <= GREATEST)
    if valid is not None:
        wrong &= valid
    if wrong.any():
        band, row, column = np.argwhere(wrong)[0]
        value = float(samples[band, row, column])
        raise InputError(
            f"{grid.name}: band {record.bands[band].name!r} holds {value:g} at column "
            f"{window[0] + column}, row {window[1] + row}, which is not declared as nodata; "
            f"mask it, or say nodata={value!r} if it means that"
        )


def _column(record: Imagery, field: str) -> Doubles:
    return np.array([getattr(band, field) for band in record.bands], np.float64)[:, None, None]


def _invalid(grid: Grid) -> str:
    values = sorted({"none" if each is None else f"{each:g}" for each in grid.nodata})
    linear = grid.unit is not None and grid.unit.linear
    return f"nodata {', '.join(values)}" + (", and power of 0 or less" if linear else "")


def _warn_of_fit(grid: Grid, record: Imagery) -> None:
    size = f"{grid.columns} x {grid.rows}"
    if grid.columns < record.columns or grid.rows < record.rows:
        _warn(
            f"{grid.name}: {size} pixels are enlarged to the {record.columns} x {record.rows} "
            "that the model takes"
        )
    across, down = grid.extent or (grid.columns, grid.rows)
    across, down = across / record.columns, down / record.rows
    if max(across, down) > DISTORTION * min(across, down):
        _warn(
            f"{grid.name}: {size} pixels are distorted {max(across / down, down / across):.2g} : 1 "
            f"by the model's {record.columns} x {record.rows}; choose a window of that shape"
        )
    low, high = record.gsd_low, record.gsd_high
    if grid.extent and not low <= min(across, down) <= max(across, down) <= high:
        _warn(
            f"{grid.name}: a pixel of the model covers {across:.4g} m x {down:.4g} m; it was made "
            f"for {low:g} to {high:g} m: choose a window that covers that much"
        )


def _warn_of_unit(grid: Grid, record: Imagery, outside: Doubles) -> None:
    names = [b.name for b, share in zip(record.bands, outside, strict=True) if share > OUTSIDE]
    if names:
        power = record.decibel and grid.unit is None
        _warn(
            f"{grid.name}: most samples of {', '.join(names)} are outside what the model expects; "
            f"are they {record.unit}?{' If they are power, say linear=true' if power else ''}"
        )


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
