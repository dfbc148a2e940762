"""GPX 1.0 and 1.1, read point by point: its tracks, by their names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import InputError
from edgespark.runtime.markup import Part, check_root, parts
from edgespark.runtime.timestamps import EXPECTED, seconds_from_text
from edgespark.runtime.tracks.recording import Fix, Recording
from edgespark.runtime.tracks.text import agent_from_text, check_degrees
from edgespark.runtime.wording import shown

FORM, ROOT, TRACK, POINT = "GPX", "gpx", "trk", "trkpt"


@dataclass(slots=True)
class Reader:
    """What has been read of a GPX file: how many tracks, and the one and the point that are open.

    `agent` is what the open track goes by, "" until its first point.
    """

    path: Path
    agents: set[str] = field(default_factory=set)
    tracks: int = 0
    name: str = ""
    agent: str = ""
    points: int = 0
    time: str = ""

    def take(self, part: Part) -> None:
        """Go on with the next start or end of an element."""
        take = TAKEN.get((part.ends, part.name, part.inside if part.ends else ""))
        if take is not None:
            take(self, part)

    def fix(self, point: Part) -> Fix:
        """Return the point that has just ended."""
        where = f"{self.path}: point {self.points}"
        longitude, latitude = _degrees(where, point, "lon"), _degrees(where, point, "lat")
        check_degrees(where, longitude, latitude)
        try:
            return Fix(self.agent, seconds_from_text(self.time), longitude, latitude)
        except ValueError as error:
            raise InputError(
                f"{where}: its time is {shown(self.time)}; expected {EXPECTED}: without times "
                "nobody knows how fast it moved"
            ) from error

    def unused(self) -> str:
        """Return the track's name; its number where another has it, or #2 where that is a name."""
        agent = self.name if self.name and self.name not in self.agents else str(self.tracks)
        while agent in self.agents:
            agent = f"#{agent}"
        return agent


def _begin_track(reader: Reader, _: Part) -> None:
    reader.tracks += 1
    reader.name = reader.agent = ""


def _begin_point(reader: Reader, _: Part) -> None:
    reader.points += 1
    reader.time = ""
    if not reader.agent:
        reader.agent = reader.unused()
        reader.agents.add(reader.agent)


def _take_name(reader: Reader, part: Part) -> None:
    reader.name = agent_from_text(part.text.strip())


def _take_time(reader: Reader, part: Part) -> None:
    reader.time = part.text


TAKEN: dict[tuple[bool, str, str], Callable[[Reader, Part], None]] = {
    (False, TRACK, ""): _begin_track,
    (False, POINT, ""): _begin_point,
    (True, "name", TRACK): _take_name,
    (True, "time", POINT): _take_time,
}
"""What is looked at: starts of elements, and ends within certain others."""


def open_gpx(path: Path) -> Recording:
    """Read the track points of a GPX file; each track is an agent, by its name.

    One that has none before its first point, or another's, goes by its number, counted from 1, and
    by #2 for 2 where that is a name. Routes and waypoints are passed over. Raises InputError for
    what is no GPX, and a point without a place or a time.
    """
    return Recording(
        name=str(path), row="point", unit="s", geographic=True, fixes=lambda: _fixes(path)
    )


def _fixes(path: Path) -> Iterator[tuple[int, Fix]]:
    reader = Reader(path)
    for part in parts(path, FORM):
        check_root(path, part, ROOT, FORM)
        reader.take(part)
        if part.ends and part.name == POINT:
            yield reader.points, reader.fix(part)
    if not reader.points:
        raise InputError(f"{path}: has no track points; expected a GPX file of recorded tracks")


def _degrees(where: str, point: Part, name: str) -> float:
    text = point.attributes.get(name, "")
    try:
        number = number_from_text(text)
    except ValueError:
        number = inf
    if number in (inf, -inf):
        raise InputError(f"{where}: {name} is {shown(text)}; expected degrees")
    return number
