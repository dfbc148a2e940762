"""Recordings of motion in memory, and what is needed of them for one clip."""

import math
import warnings
from dataclasses import KW_ONLY, dataclass
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.sensory import Motion
from edgespark.runtime.signals.resample import Doubles, reach

LEAST = 10
"""Readings of a clip; the public code (csuhan/OneLLM, data/imu_utils.py) takes none with fewer."""
SLOWEST, FASTEST = 1e-3, 1e5
"""Hertz; no such sensor is slower, or faster."""
LATEST = 1e12
"""Seconds."""
RANK = 2


@dataclass(frozen=True, slots=True, eq=False)
class MotionSignal:
    """Readings in memory, their rate, and where the clip that is meant begins.

    `samples` is an array [channels, readings], the channels in the model's order; `rate` is in
    hertz, None the model's own; `start` in seconds from the first reading, None the beginning.
    Raises InputError where a value cannot be one for any signal.
    """

    samples: object
    _: KW_ONLY
    rate: float | None = None
    start: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no signal could satisfy."""
        check_clip(self.rate, self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Evenly spaced readings around the beginning of a clip.

    `values` is float64 [channels, some] at `rate` hertz; `first` is the place of the clip's first
    reading: what stands before feeds the filter. `left` counts the readings from there to the end
    of the recording, of which `values` may hold fewer. `chosen` tells that the beginning was asked
    for.
    """

    values: Doubles
    rate: float
    first: int
    left: int
    chosen: bool


def check_clip(rate: float | None, start: float | None) -> None:
    """Refuse a rate or a start that cannot be one; None is none."""
    if rate is not None and not (is_number(rate) and SLOWEST <= rate <= FASTEST):
        raise InputError(
            f"rate must be in hertz, {SLOWEST:g} to {FASTEST:g}, got {shortened(rate)}"
        )
    if start is not None and not (is_number(start) and abs(start) <= LATEST):
        raise InputError(f"start must be a number of seconds, got {shortened(start)}")


def recording_from_array(
    record: Motion, array: NDArray[Any], rate: float | None, start: float | None, name: str
) -> Recording:
    """Return what is needed of an array [channels, readings]; InputError where it is none.

    `rate` is in hertz (None: the record's), `start` in seconds from the first reading.
    """
    _check_shape(record, array, name)
    rate = record.rate if rate is None else float(rate)
    first = math.ceil((start or 0) * rate - 1e-6)
    left = array.shape[1] - first
    if first < 0 or left < 1:
        raise InputError(
            f"{name}: start={start:g} lies outside: it has readings for {array.shape[1] / rate:g} s"
        )
    around = reach(rate, record.rate) + 1
    low, high = max(first - around, 0), first + math.ceil(clip_seconds(record) * rate) + around
    with np.errstate(all="ignore"):  # of what no float64 can hold; it becomes infinite
        values = array[:, low:high].astype(np.float64)
    return Recording(
        values=values,
        rate=rate,
        first=first - low,
        left=left,
        chosen=start is not None,
    )


def clip_seconds(record: Motion) -> float:
    """Return how long a clip is."""
    return record.samples / record.rate


def _check_shape(record: Motion, array: NDArray[Any], name: str) -> None:
    count = len(record.channels)
    what = f"[{count}, readings]: {', '.join(record.channels)}"
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: holds {array.dtype.name}; expected numbers {what}")
    if array.ndim != RANK or array.shape[0] != count:
        turned = array.ndim == RANK and array.shape[1] == count
        hint = "; give it transposed" if turned else ""
        raise InputError(f"{name}: has shape {array.shape}; expected {what}{hint}")
    if not array.shape[1]:
        raise InputError(f"{name}: holds no readings; expected {what}")


def warn(text: str) -> None:
    """Warn of what was done, or may be wrong."""
    warnings.warn(text, EdgesparkWarning, stacklevel=3)
