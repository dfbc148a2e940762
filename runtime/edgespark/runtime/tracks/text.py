"""Trajectories as text: columns of frame, agent, x, y, or CSV with a header."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import InputError
from edgespark.runtime.rows import column, comma_rows, spaced_rows
from edgespark.runtime.timestamps import EXPECTED, seconds_from_text
from edgespark.runtime.tracks.recording import Fix, Recording
from edgespark.runtime.wording import listed, shown

COLUMNS, PLACES = 4, (("frame", 0), ("x", 2), ("y", 3))
TIMES, AGENTS = ("frame", "time", "timestamp", "t"), ("id", "agent", "track_id")
PLANE, EARTH = (("x",), ("y",)), (("lon", "longitude"), ("lat", "latitude"))
SIDES = (180.0, 90.0)
WHOLE = re.compile(r"([+-]?\d+)\.0*", re.ASCII)
ALONE = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Which columns of a CSV file hold what; no agent where there is but one."""

    time: int
    agent: int | None
    x: int
    y: int
    frames: bool
    geographic: bool


def agent_from_text(text: str) -> str:
    """Return an agent's name; 7.0 is 7."""
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


def open_txt(path: Path) -> Recording:
    """Read lines of frame, agent, x and y in metres, between tabs or spaces (BIWI, UCY, SDD)."""
    return Recording(
        name=str(path), row="line", unit="frames", geographic=False, fixes=lambda: _spaced(path)
    )


def open_csv(path: Path) -> Recording:
    """Read a CSV file with a header.

    Its columns are `time` (or timestamp, t: seconds or ISO 8601; `frame` counts frames), `id` (or
    agent, track_id; none where there is but one), `x` and `y` in metres or `lon` and `lat` (or
    longitude, latitude) in degrees, in any order, beside others; one of each.
    Raises InputError.
    """
    layout = _layout(path)
    return Recording(
        name=str(path),
        row="line",
        unit="frames" if layout.frames else "s",
        geographic=layout.geographic,
        fixes=lambda: _separated(path, layout),
    )


def _spaced(path: Path) -> Iterator[tuple[int, Fix]]:
    for line, cells in spaced_rows(path):
        if len(cells) != COLUMNS:
            raise InputError(
                f"{path}: line {line} has {len(cells)} columns; expected 4: frame, agent, x and y "
                "in metres, between tabs or spaces"
            )
        where = f"{path}: line {line}"
        time, x, y = (_number(where, what, cells[place]) for what, place in PLACES)
        yield line, Fix(agent_from_text(cells[1]), time, x, y)


def _separated(path: Path, layout: Layout) -> Iterator[tuple[int, Fix]]:
    rows = comma_rows(path)
    next(rows)
    for line, cells in rows:
        where = f"{path}: line {line}"
        time = _time(where, cells[layout.time], layout)
        agent = ALONE if layout.agent is None else agent_from_text(cells[layout.agent])
        if not agent:
            raise InputError(f"{where}: the agent's id is missing")
        x, y = _number(where, "x", cells[layout.x]), _number(where, "y", cells[layout.y])
        if layout.geographic:
            check_degrees(where, x, y)
        yield line, Fix(agent, time, x, y)


def check_degrees(where: str, longitude: float, latitude: float) -> None:
    """Refuse what is no place on Earth; InputError that begins with `where`."""
    if abs(longitude) > SIDES[0] or abs(latitude) > SIDES[1]:
        raise InputError(
            f"{where}: longitude {longitude:g}, latitude {latitude:g} is no place; expected "
            "degrees, -180…180 and -90…90"
        )


def _time(where: str, text: str, layout: Layout) -> float:
    if layout.frames:
        return _number(where, "frame", text)
    try:
        return seconds_from_text(text)
    except ValueError as error:
        raise InputError(f"{where}: {shown(text)} is no time; expected {EXPECTED}") from error


def _number(where: str, what: str, text: str) -> float:
    try:
        number = number_from_text(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {what} is {shown(text)}; expected a finite number")
    return number


def _layout(path: Path) -> Layout:
    _, header = next(comma_rows(path))
    time, x = column(path, header, TIMES), column(path, header, (*PLANE[0], *EARTH[0]))
    geographic = x is not None and header[x].lower() in EARTH[0]
    y = column(path, header, (EARTH if geographic else PLANE)[1])
    if time is None or x is None or y is None:
        raise InputError(
            f"{path}: its header names {listed(header, shown)}; expected frame or time, id, "
            "and x and y (metres) or lon and lat (degrees)"
        )
    return Layout(
        time=time,
        agent=column(path, header, AGENTS),
        x=x,
        y=y,
        frames=header[time].lower() == TIMES[0],
        geographic=geographic,
    )
