"""Time series in CSV files, wide (a column for each node) or long (a row for each value)."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import InputError
from edgespark.runtime.names import check_room
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.rows import column, comma_rows
from edgespark.runtime.series.nodes import check_names
from edgespark.runtime.timestamps import EXPECTED, Moment, moment_from_text
from edgespark.runtime.wording import short, shown

TIMES = ("time", "timestamp", "date", "datetime", "t")
NODES = ("node", "sensor", "id")
VALUES = ("value",)
TOLERANCE = 0.01
"""Of an interval, that timestamps may be off."""
Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """All values of one timestamp, as the file has them, and where it stands in the file."""

    line: int
    moment: Moment
    cells: dict[str, str]


def window_from_csv(record: Series, path: str | Path, at: float | None) -> Doubles:
    """Return the `steps` timestamps up to `at` (None: the last), float64 [steps, nodes, 3].

    A wide file has a timestamp in its first column and one column for each node, by its name, in
    any order. A long file has the columns `time` (or timestamp, date, datetime, t), `node` (or
    sensor, id) and `value`, its rows in any order. Not more than the steps that are meant is held
    in memory. Raises InputError where nodes, interval or number of steps are not the record's, a
    value is missing, and where the time of a wide file does not go forwards.
    """
    _, header = next(comma_rows(path))
    long = None not in (column(path, header, VALUES), column(path, header, NODES))
    steps = (_long if long else _wide)(record, path, at)
    _check_steps(record, steps, path, at)
    return np.array([_values(record, step, path) for step in steps], np.float64)


def _wide(record: Series, path: str | Path, at: float | None) -> list[Step]:
    rows = comma_rows(path)
    _, names = next(rows)
    check_names(record, names[1:], str(path))
    kept: deque[tuple[int, Moment, list[str]]] = deque(maxlen=record.steps)
    end = np.inf if at is None else at + TOLERANCE * record.interval
    for line, cells in rows:
        moment = _moment(path, line, cells[0])
        if kept and moment.seconds <= kept[-1][1].seconds:
            raise InputError(
                f"{path}: line {line}: time runs backwards, or stands: {short(cells[0])} comes "
                f"after {short(kept[-1][2][0])}: sort the rows, each timestamp once"
            )
        if moment.seconds > end:
            break
        kept.append((line, moment, cells))
    return [
        Step(line=line, moment=moment, cells=dict(zip(names, cells, strict=True)))
        for line, moment, cells in kept
    ]


def _long(record: Series, path: str | Path, at: float | None) -> list[Step]:
    names: dict[str, None] = {}
    last = -np.inf
    for line, moment, node, _ in _triples(path):
        if node not in names:
            check_room(f"{path}: line {line}", "node", names, node)
        names.setdefault(node)
        last = max(last, moment.seconds)
    check_names(record, list(names), str(path))
    end = last if at is None else at
    begin = end - (record.steps - 1) * record.interval
    slack = TOLERANCE * record.interval
    steps: dict[float, Step] = {}
    for line, moment, node, value in _triples(path):
        if begin - slack <= moment.seconds <= end + slack:
            if len(steps) > record.steps:
                raise InputError(_too_many(record, path))
            step = steps.setdefault(moment.seconds, Step(line=line, moment=moment, cells={}))
            if node in step.cells:
                raise InputError(
                    f"{path}: line {line}: has node {shown(node)} at a time it had before"
                )
            step.cells[node] = value
    return sorted(steps.values(), key=lambda step: step.moment.seconds)


def _too_many(record: Series, path: str | Path) -> str:
    return (
        f"{path}: has more than {record.steps} timestamps in its last {record.steps} steps of "
        f"{record.interval:g} s, which the model was made for: resample, and give each step's "
        "values the same timestamp"
    )


def _triples(path: str | Path) -> Iterator[tuple[int, Moment, str, str]]:
    rows = comma_rows(path)
    _, header = next(rows)
    time, node, value = (column(path, header, names) for names in (TIMES, NODES, VALUES))
    if time is None or node is None or value is None:
        raise InputError(f"{path}: has no column of timestamps; it is named {', '.join(TIMES)}")
    for line, cells in rows:
        yield line, _moment(path, line, cells[time]), cells[node], cells[value]


def _moment(path: str | Path, line: int, text: str) -> Moment:
    try:
        return moment_from_text(text)
    except ValueError as error:
        raise InputError(
            f"{path}: line {line}: {shown(text)} is no timestamp; expected {EXPECTED}"
        ) from error


def _check_steps(record: Series, steps: Sequence[Step], path: str | Path, at: float | None) -> None:
    slack = TOLERANCE * record.interval
    if at is not None and (not steps or abs(steps[-1].moment.seconds - at) > slack):
        ends = f"; the last before it is in line {steps[-1].line}" if steps else ""
        raise InputError(f"{path}: has no row at the timestamp that was asked for{ends}")
    for one, other in pairwise(steps):
        passed = other.moment.seconds - one.moment.seconds
        if abs(passed - record.interval) > slack:
            raise InputError(
                f"{path}: line {other.line} comes {passed:g} s after line {one.line}; the model "
                f"was made for steps of {record.interval:g} s: resample, or fill in what is missing"
            )
    if len(steps) != record.steps:
        raise InputError(
            f"{path}: has {len(steps)} timestamps up to the last one meant; the model needs "
            f"{record.steps}, {record.interval:g} s apart"
        )


def _values(record: Series, step: Step, path: str | Path) -> list[list[float]]:
    return [
        [_value(step, node, path), step.moment.time, step.moment.weekday] for node in record.nodes
    ]


def _value(step: Step, node: str, path: str | Path) -> float:
    text = step.cells.get(node, "")
    try:
        value = number_from_text(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(
            f"{path}: line {step.line}: node {shown(node)} has {shown(text)}; expected a finite "
            "number: fill in what is missing before"
        )
    return value
