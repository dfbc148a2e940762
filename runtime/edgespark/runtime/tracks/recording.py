"""Recordings of moving agents, whatever their format: fixes one at a time, and what is in them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgespark.runtime.errors import InputError
from edgespark.runtime.names import check_room
from edgespark.runtime.wording import listed, short, shown

MOST_PERIODS = 1 << 16
"""How many different times between fixes are counted."""
MILLI = 3  # digits


class Fix(NamedTuple):
    """Where an agent was at a time; x and y in metres, or degrees of longitude and latitude."""

    agent: str
    time: float
    x: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A file's fixes, anew at each call of `fixes`, in any order of agents.

    `row` says what holds one of them in the file. Times are in `unit`; x and y are degrees where
    the recording is `geographic`.
    """

    name: str
    row: Literal["line", "point"]
    unit: Literal["frames", "s"]
    geographic: bool
    fixes: Callable[[], Iterator[tuple[int, Fix]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The first and last time of each agent, and the commonest time from fix to fix."""

    first: dict[str, float]
    last: dict[str, float]
    every: float

    def seen(self, time: float) -> list[str]:
        """Tell whose track goes over that time."""
        return [who for who, start in self.first.items() if start <= time <= self.last[who]]


def survey(recording: Recording) -> Survey:
    """Go over a recording once; what is kept grows with the agents, not with their fixes.

    Raises InputError where an agent's time stands or runs backwards, where nobody is seen twice,
    and for more agents than any scene has.
    """
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    periods: Counter[float] = Counter()
    for number, fix in recording.fixes():
        before = last.get(fix.agent)
        if before is None:
            check_room(f"{recording.name}: {recording.row} {number}", "agent", last, fix.agent)
        else:
            _check_order(recording, number, fix, before)
            period = round(fix.time - before, MILLI)
            if period in periods or len(periods) < MOST_PERIODS:
                periods[period] += 1
        first.setdefault(fix.agent, fix.time)
        last[fix.agent] = fix.time
    if not first:
        raise InputError(f"{recording.name}: holds no positions; expected tracks")
    if not periods:
        raise InputError(f"{recording.name}: nobody is seen at two times; expected tracks")
    every = min(periods, key=lambda period: (-periods[period], period))
    return Survey(first=first, last=last, every=max(every, 10**-MILLI))


def _check_order(recording: Recording, number: int, fix: Fix, before: float) -> None:
    where = f"{recording.name}: {recording.row} {number}: agent {short(fix.agent)}"
    if fix.time == before:
        raise InputError(f"{where} stands twice at time {fix.time:.10g}: keep one of the two")
    if fix.time < before:
        raise InputError(
            f"{where}: time runs backwards, from {before:.10g} to {fix.time:.10g}: sort the "
            f"{recording.row}s by time"
        )


def chosen(
    recording: Recording, found: Survey, agent: str | None, at: float | None
) -> tuple[str, float]:
    """Return whose track is meant and up to when: where that is not said, if there is one only.

    An agent's last time is the default. Raises InputError that lists some agents.
    """
    if agent is None:
        agents = list(found.first) if at is None else found.seen(at)
        if len(agents) != 1:
            raise InputError(_which(recording, found, agents, at))
        agent = agents[0]
    if agent not in found.first:
        raise InputError(
            f"{recording.name}: there is no agent {shown(agent)}; there are: {listed(found.first)}"
        )
    time = found.last[agent] if at is None else at
    first, last = found.first[agent], found.last[agent]
    if not first <= time <= last:
        raise InputError(
            f"{recording.name}: agent {short(agent)} is seen from {first:.10g} to {last:.10g}, not "
            f"at {time:.10g}"
        )
    return agent, time


def _which(recording: Recording, found: Survey, agents: list[str], at: float | None) -> str:
    if not agents:
        return (
            f"{recording.name}: nobody is seen at {at:.10g}; the recording goes from "
            f"{min(found.first.values()):.10g} to {max(found.last.values()):.10g}"
        )
    when = "" if at is None else f" at {at:.10g}"
    return (
        f"{recording.name}: holds {len(agents)} agents{when}; say which is meant, as in "
        f"agent={short(agents[0])}; there are: {listed(agents)}"
    )
