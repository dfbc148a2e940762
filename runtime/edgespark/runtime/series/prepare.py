"""From series [steps, nodes, 3] to what a graph encoder takes, as its record says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.series.nodes import check_count

RANK, CHANNELS, DAYS = 3, 3, 7
FAR = 1000.0
"""Standard deviations; what is further from the mean is no value of this series."""
Doubles = NDArray[np.float64]


def prepare_series(record: Series, value: NDArray[Any], name: str = "the array") -> Prepared:
    """Return `series`, float32 [1, steps, nodes, 3], of the last values at the nodes of a graph.

    `value` is [steps, nodes, 3]: the value in the record's unit, the time of day in [0, 1) and the
    day of week, 0 for Monday to 6; the nodes in the record's order. The anchor is the last value of
    each node, for every step to come: float64 [predicted, nodes]. Raises InputError for another
    shape or type (the graph is static: it has the nodes that the model learned), for a value that
    is no finite number or far beyond any that the model knows, and for a time that is none.
    """
    series = _checked(record, value, name)
    _check_values(record, series[..., 0], name)
    _check_times(series[..., 1], series[..., 2], name)
    scaled = series.copy()
    scaled[..., 0] = (series[..., 0] - record.mean) / record.std
    anchor = np.repeat(series[-1:, :, 0], record.predicted, axis=0)
    return Prepared(arrays={"series": _rounded(scaled)[None]}, anchor=anchor)


def _rounded(series: Doubles) -> NDArray[np.float32]:
    """Round to float32; the time of day stays below 1."""
    rounded = series.astype(np.float32)
    rounded[..., 1] = np.minimum(rounded[..., 1], np.nextafter(np.float32(1), np.float32(0)))
    return rounded


def _checked(record: Series, value: NDArray[Any], name: str) -> Doubles:
    shape = f"[{record.steps}, {len(record.nodes)}, {CHANNELS}]"
    what = f"{shape}: value, time of day and day of week of each node at each step"
    if value.dtype.kind not in "iuf":
        raise InputError(f"{name}: holds {value.dtype.name}; expected numbers {what}")
    if value.ndim != RANK or value.shape[2] != CHANNELS:
        raise InputError(f"{name}: has shape {value.shape}; expected {what}")
    check_count(record, value.shape[1], name)
    if len(value) != record.steps:
        raise InputError(
            f"{name}: has {len(value)} steps; the model was made for {record.steps}, "
            f"{record.interval:g} s apart: give the last {record.steps} that were measured"
        )
    return value.astype(np.float64)


def _check_values(record: Series, values: Doubles, name: str) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        known = np.abs((values - record.mean) / record.std) <= FAR
    if not known.all():
        step, node = np.argwhere(~known)[0]
        raise InputError(
            f"{name}: node {record.nodes[node]!r} has the value {values[step, node]:g} at step "
            f"{step}, counted from 0; expected a finite number of {record.unit}, about "
            f"{record.mean:g}: fill in what is missing before"
        )


def _check_times(time: Doubles, day: Doubles, name: str) -> None:
    wrong = ~((time >= 0) & (time < 1))
    if wrong.any():
        step, node = np.argwhere(wrong)[0]
        raise InputError(
            f"{name}: the time of day is {time[step, node]:g} at step {step}; expected the share "
            "of the day that has passed, 0 <= time < 1: seconds since midnight / 86400"
        )
    wrong = ~np.isin(day, np.arange(DAYS))
    if wrong.any():
        step, node = np.argwhere(wrong)[0]
        raise InputError(
            f"{name}: the day of week is {day[step, node]:g} at step {step}; expected a whole "
            "number from 0 for Monday to 6 for Sunday"
        )
