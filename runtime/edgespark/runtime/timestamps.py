"""Timestamps: ISO 8601, or seconds since 1970."""

import math
import re
from dataclasses import dataclass
from datetime import date

from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.wording import shown

DAY = 86400
LATEST = 1e11
"""Seconds, the year 5138; greater ones are likely milliseconds."""
EPOCH = date(1970, 1, 1)
EXPECTED = "ISO 8601 as 2024-05-01T08:05:00Z, or seconds (not milliseconds)"
ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d(?:[.,]\d+)?))?)?"
    r"\s*(?:(Z)|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
HOURS, SIXTY = 24, 60
BEFORE_MIDNIGHT = 1 - 2**-24
"""The last time of a day, as float32 has it: fractions of a second may be too small for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A moment: seconds since 1970, the share of its day that has passed, its day of week.

    Day and time, which is below 1 in float32 too, are those that the timestamp shows, whatever its
    zone; seconds are UTC's, also where no zone is told. Monday is 0.
    """

    seconds: float
    time: float
    weekday: int


def moment_from_text(text: str) -> Moment:
    """Read a timestamp; ValueError where it is none."""
    found = ISO.fullmatch(text.strip())
    return _from_number(number_from_text(text)) if found is None else _from_iso(found)


def seconds_from_text(text: str) -> float:
    """Read a timestamp, or a number of seconds since whenever; ValueError where it is neither."""
    return moment_from_text(text).seconds


def _from_number(seconds: float) -> Moment:
    if not abs(seconds) < LATEST:
        raise ValueError(f"{seconds:g} is no number of seconds; are they milliseconds?")
    days, rest = divmod(seconds, DAY)
    return Moment(
        seconds=seconds,
        time=min(rest / DAY, BEFORE_MIDNIGHT),
        weekday=(int(days) + EPOCH.weekday()) % 7,
    )


def _from_iso(found: re.Match[str]) -> Moment:
    year, month, day, hour, minute, second, _, sign, over, under = found.groups(default="0")
    hours, minutes, seconds = int(hour), int(minute), float(second.replace(",", "."))
    if hours >= HOURS or minutes >= SIXTY or int(second[:2]) >= SIXTY:
        raise ValueError(f"{shown(found[0])} is no time of day")
    if int(over) >= HOURS or int(under) >= SIXTY:
        raise ValueError(f"{sign}{over}:{under} is no offset from UTC")
    whole = date(int(year), int(month), int(day))
    passed = (hours * SIXTY + minutes) * SIXTY + seconds
    ahead = math.copysign((int(over) * SIXTY + int(under)) * SIXTY, -1 if sign == "-" else 1)
    return Moment(
        seconds=(whole - EPOCH).days * DAY + passed - ahead,
        time=min(passed / DAY, BEFORE_MIDNIGHT),
        weekday=whole.weekday(),
    )
