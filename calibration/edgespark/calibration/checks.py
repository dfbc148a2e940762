"""Which statistics a tensor can have at all: what was read from a file may be any."""

import math
from collections.abc import Iterator

import numpy as np

from edgespark.calibration.histogram import BINS
from edgespark.calibration.reservoir import ROWS
from edgespark.calibration.statistics import Statistics

NUMBERS = ("low", "high", "peak", "average", "width")
ARRAYS = {
    "histogram": (np.int64, 1),
    "channels": (np.float32, 1),
    "means": (np.float64, 1),
    "rows": (np.float32, 2),
}
SLACK = 1 + 1e-6
"""What the rounding of a mean may add to it."""


def problems(statistics: Statistics) -> list[str]:
    """Return what is wrong with the statistics, [] if nothing is; no name of a tensor in it."""
    for check in (_numbers, _arrays, _sizes, _ranges, _counts, _channels):
        found = list(check(statistics))
        if found:  # the checks that follow rely on this one
            return found
    return []


def _numbers(given: Statistics) -> Iterator[str]:
    for name in NUMBERS:
        if not math.isfinite(getattr(given, name)):
            yield f"{name} is {getattr(given, name)}; expected a finite number"


def _arrays(given: Statistics) -> Iterator[str]:
    for name, (dtype, axes) in ARRAYS.items():
        array = getattr(given, name)
        if array.dtype != dtype or array.ndim != axes:
            wanted = f"{np.dtype(dtype)} of {axes} axes"
            yield f"{name} is {array.dtype} {list(array.shape)}; expected {wanted}"


def _sizes(given: Statistics) -> Iterator[str]:
    channels = {len(given.channels), len(given.means), given.rows.shape[1]}
    if len(given.histogram) != BINS:
        yield f"the histogram has {len(given.histogram)} bins; expected {BINS}"
    if len(given.rows) > ROWS:
        yield f"has {len(given.rows)} rows; expected {ROWS} at most"
    if len(channels) != 1 or channels - {0, *given.shape}:
        yield f"has arrays of {sorted(channels)} channels, and shape {list(given.shape)}"


def _ranges(given: Statistics) -> Iterator[str]:
    if given.count < 1:
        yield f"was seen in {given.count} samples; expected 1 at least"
    if given.low > given.high:
        yield f"low {given.low} is beyond high {given.high}"
    if given.peak != max(-given.low, given.high):
        yield f"peak {given.peak} is not the greatest magnitude of {given.low} … {given.high}"
    for name, value in (("average", given.average), ("width", given.width)):
        if value < 0 or (value == 0) != (given.peak == 0):
            yield f"{name} {value} does not go with peak {given.peak}"
    if given.width < given.peak:
        yield f"the histogram ends at {given.width}, before the peak {given.peak}"
    if given.average > given.peak * SLACK:
        yield f"average {given.average} is beyond peak {given.peak}"


def _counts(given: Statistics) -> Iterator[str]:
    filled = np.flatnonzero(given.histogram)
    last = min(int(given.peak / given.width * BINS), BINS - 1) if given.peak else 0
    if (given.histogram < 0).any() or not len(filled):
        yield "the histogram has counts below zero, or none"
    elif filled[-1] != last:
        yield f"the histogram ends in bin {filled[-1]}; peak {given.peak} lies in bin {last}"


def _channels(given: Statistics) -> Iterator[str]:
    if not len(given.channels):
        return
    if given.channels.min() < 0 or given.channels.max() != np.float32(given.peak):
        yield f"the channels' peaks do not have {given.peak} as their greatest"
    with np.errstate(invalid="ignore"):
        if not (np.abs(given.means) <= given.channels.astype(np.float64) * SLACK).all():
            yield "a channel's mean is beyond its peak, or NaN"
        if not (np.abs(given.rows) <= given.channels).all():
            yield "a row holds a value beyond its channel's peak, or NaN"
