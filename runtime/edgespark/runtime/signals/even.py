"""From readings at any times to evenly spaced ones."""

import math
from dataclasses import dataclass

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.sensory import Motion
from edgespark.runtime.signals.recording import FASTEST, Recording, clip_seconds, warn
from edgespark.runtime.signals.resample import Doubles, reach

MISSED, GAP = 1.5, 11.5
"""Usual intervals, from which on a reading is missing, and more than ten of them are."""
SLACK = 1e-9
"""Seconds that a sum of times may be off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """What was kept of a file: seconds [n] and values [channels, n]; and its first and last time.

    `begin` is when the clip begins; `chosen` tells that it was asked for.
    """

    seconds: Doubles
    values: Doubles
    begin: float
    chosen: bool
    ends: tuple[float, float]


def even(record: Motion, readings: Readings, name: str) -> Recording:
    """Return what is needed of the readings for a clip, evenly spaced.

    The rate is that of the usual intervals. Readings that are all within half an interval of their
    place count as evenly spaced, as in the public code (csuhan/OneLLM, data/imu_utils.py, which
    looks at the mean interval only); others, and one to ten missing ones, are filled in on straight
    lines, and a warning tells of the missing ones. Raises InputError where more than ten in a row
    are missing in the clip, and where it is outside of the recording.
    """
    seconds, (first, last) = readings.seconds, readings.ends
    begin = readings.begin
    place = int(np.searchsorted(seconds, begin - SLACK))
    if begin < first - SLACK or place == len(seconds):
        raise InputError(
            f"{name}: has no reading in the clip from {begin:g} s on; its readings reach from "
            f"{first:g} s to {last:g} s: choose start= among them"
        )
    rate = _rate(seconds, name)
    _check_gaps(record, readings, rate, name)
    around = reach(rate, record.rate) + 1
    passed = _passed(seconds, place, rate)
    grid = np.arange(
        max(-around, math.ceil(passed[0])),
        min(math.floor(passed[-1]), math.ceil(clip_seconds(record) * rate) + around) + 1,
    )
    return Recording(
        values=np.stack([np.interp(grid, passed, each) for each in readings.values]),
        rate=rate,
        first=-int(grid[0]),
        left=1 + max(int(grid[-1]), math.floor((last - seconds[place]) * rate)),
        chosen=readings.chosen,
    )


def _rate(seconds: Doubles, name: str) -> float:
    """Return the rate in hertz, from the mean of the intervals that miss no reading."""
    intervals = np.diff(seconds)
    if not len(intervals):
        raise InputError(f"{name}: has 1 reading in the clip; its rate cannot be told")
    rate = 1 / float(intervals[intervals <= MISSED * np.median(intervals)].mean())
    if rate > FASTEST:
        raise InputError(
            f"{name}: its readings are {1 / rate:g} s apart; no sensor is so fast: is the unit of "
            "its times another?"
        )
    return rate


def _check_gaps(record: Motion, readings: Readings, rate: float, name: str) -> None:
    """Refuse, or warn of, readings that are missing between the clip's beginning and its end."""
    seconds, begin = readings.seconds, readings.begin
    end = begin + clip_seconds(record)
    marks = np.concatenate([[begin], seconds[seconds > begin]])
    passed = np.diff(marks)[marks[:-1] < end - SLACK]
    longest = float(passed.max(initial=0))
    missing = round(longest * rate) - 1
    where = f"{name}: {missing} readings in a row are missing in the clip ({longest:.3g} s)"
    if longest * rate > GAP:
        raise InputError(f"{where}: choose another clip with start=")
    if longest * rate > MISSED:
        warn(f"{where}: filled in on a straight line")


def _passed(seconds: Doubles, place: int, rate: float) -> Doubles:
    """Return the usual intervals from the reading at a place to each; whole ones where even."""
    passed: Doubles = (seconds - seconds[place]) * rate
    due = np.arange(len(passed), dtype=np.float64) - place
    return due if (np.abs(passed - due) <= 1 / 2).all() else passed
