"""Recordings of motion in CSV files: a time, or a known rate, and a column for each channel."""

import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.rows import Row, comma_rows
from edgespark.runtime.sensory import Motion
from edgespark.runtime.signals.even import Readings, even
from edgespark.runtime.signals.recording import LATEST, LEAST, Recording, clip_seconds, warn
from edgespark.runtime.signals.resample import reach

CANONICAL = "canonical_timestamp_ms"
"""What Ego4D counts its clips by; its files have another time beside it."""
TIMES = {"timestamp", "timestamps", "time", "t"}
UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "milliseconds": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "microseconds": 1e-6,
    "ns": 1e-9,
    "nanoseconds": 1e-9,
}
NOTHING = {"", "nan", "null", "none"}
MOST = 1 << 20
"""Readings that are held; a clip at the highest rate has fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Where the channels stand, in the record's order, and the time, and how long its unit is.

    Without a time, the rows are `unit` seconds apart.
    """

    channels: tuple[int, ...]
    time: int | None
    unit: float


def recording_from_csv(
    record: Motion, path: str | Path, rate: float | None, start: float | None
) -> Recording:
    """Return what is needed of a CSV file with a header that names its columns.

    Channels have the record's names, in any order and case. The time's column is named
    `canonical_timestamp_ms`, or `time`, `timestamp` or `t` with a unit behind (`time_s`, `t_ms`,
    `timestamp [ns]`); with `rate`, in hertz, it is not read. `start` is in the file's own seconds;
    None means its first reading. Rows without a time are left out, with a warning. No more is held
    in memory than the clip needs; `even` makes it evenly spaced. Raises InputError for a missing
    channel, time that does not go forwards, a cell that is no number, a start outside, and as
    `even` does.
    """
    rows = comma_rows(path)
    header = next(rows, (0, list[str]()))[1]
    columns = _columns(record, header, rate, path)
    readings = _readings(record, _timed(rows, columns, path), columns, start, path)
    return even(record, readings, str(path))


def _columns(
    record: Motion, header: Sequence[str], rate: float | None, path: str | Path
) -> Columns:
    names = [name.lower() for name in header]
    wrong = [each for each in record.channels if names.count(each.lower()) != 1]
    if wrong:
        raise InputError(
            f"{path}: expected the columns {', '.join(record.channels)}, each once; its columns "
            f"are {', '.join(header)}: {', '.join(wrong)} is missing, or stands there twice"
        )
    channels = tuple(names.index(each.lower()) for each in record.channels)
    if rate is not None:
        return Columns(channels=channels, time=None, unit=1 / rate)
    time = _time([name if place not in channels else "" for place, name in enumerate(names)], path)
    return Columns(channels=channels, time=time, unit=UNITS[_words(names[time])[-1]])


def _time(names: Sequence[str], path: str | Path) -> int:
    """Return where the time stands; InputError where that, or its unit, cannot be told."""
    if CANONICAL in names:
        return names.index(CANONICAL)
    found = [place for place, name in enumerate(names) if TIMES & {*_words(name)}]
    if len(found) == 1 and _words(names[found[0]])[-1] in UNITS:
        return found[0]
    which = ", ".join(names[place] for place in found) or "none"
    raise InputError(
        f"{path}: expected one column of times with its unit in its name, as time_s or time_ms; "
        f"found {which}: name it so, or give the readings' rate in hertz with rate="
    )


def _words(name: str) -> list[str]:
    return re.findall("[a-zµμ]+", name.lower())


def _timed(
    rows: Iterator[Row], columns: Columns, path: str | Path
) -> Iterator[tuple[int, float, list[str]]]:
    """Yield the line, the time in seconds and the cells of each row that has a time."""
    left_out, last = 0, -math.inf
    for count, (line, cells) in enumerate(rows):
        if columns.time is None:
            yield line, count * columns.unit, cells
            continue
        text = cells[columns.time]
        if text.lower() in NOTHING:
            left_out += 1
            continue
        time = _number(text, line, path) * columns.unit
        if not abs(time) <= LATEST:
            raise InputError(f"{path}: line {line}: {text[:40]!r} is no time of a recording")
        if time <= last:
            raise InputError(
                f"{path}: line {line}: time stands, or runs backwards: {time:.10g} s comes after "
                f"{last:.10g} s: sort the rows, each time once"
            )
        last = time
        yield line, time, cells
    if left_out:
        warn(f"{path}: {left_out} rows have no time: they are left out")


def _readings(
    record: Motion,
    timed: Iterator[tuple[int, float, list[str]]],
    columns: Columns,
    start: float | None,
    path: str | Path,
) -> Readings:
    clip = clip_seconds(record)
    slowest = min(LEAST, record.samples) / clip
    around = (reach(slowest, record.rate) + 1) / slowest
    begin, first, last, end = start, math.inf, -math.inf, -math.inf
    seconds, values = array("d"), array("d")
    for line, time, cells in timed:
        begin = time if begin is None else begin
        first, last = min(first, time), time
        if begin - around <= time and end <= begin + clip + around:
            end = time  # the first reading after the clip's surroundings is kept, too
            seconds.append(time)
            values.extend(_number(cells[place], line, path) for place in columns.channels)
            if len(seconds) > MOST:
                raise InputError(f"{path}: line {line}: more than {MOST} readings in {clip:g} s")
    if begin is None or first > last:
        raise InputError(f"{path}: holds no readings")
    return Readings(
        seconds=np.array(seconds),
        values=np.array(values).reshape(-1, len(columns.channels)).T,
        begin=begin,
        chosen=start is not None,
        ends=(first, last),
    )


def _number(text: str, line: int, path: str | Path) -> float:
    """Read a number, NaN where there is none."""
    try:
        return math.nan if text.lower() in NOTHING else float(text)
    except ValueError as error:
        raise InputError(f"{path}: line {line}: {text[:40]!r} is no number") from error
