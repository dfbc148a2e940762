"""GPX 1.0 and 1.1, read point by point: its tracks, by their names."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from edgespark.runtime.errors import InputError
from edgespark.runtime.markup import refuse_doctype
from edgespark.runtime.timestamps import EXPECTED, seconds_from_text
from edgespark.runtime.tracks.recording import Fix, Recording
from edgespark.runtime.tracks.text import check_degrees

PIECE = 1 << 14
"""Bytes that are read at a time."""
LARGEST = 1 << 24
"""Bytes from the end of one point to the end of the next, at most."""
POINTS = ("trkpt", "rtept", "wpt")


@dataclass(slots=True)
class Reader:
    """What has been read of a GPX file: the elements that are open, and the tracks until now."""

    path: Path
    parser: "XMLPullParser[Element]" = field(
        default_factory=lambda: XMLPullParser(("start", "end"))
    )
    open: list[Element] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    count: int = 0
    pending: int = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, Fix]]:
        """Take some bytes of the file, and yield the track points that end in them."""
        self.pending += len(piece)
        if self.pending > LARGEST:
            raise InputError(f"{self.path}: has no point in {LARGEST} bytes; is it a GPX file?")
        self.parser.feed(piece)
        events = cast("Iterator[tuple[str, Element]]", self.parser.read_events())
        for event, element in events:
            if event == "start":
                self._begin(element)
            elif self.open.pop() is element:
                yield from self._finish(element)

    def _begin(self, element: Element) -> None:
        kind = _kind(element)
        if not self.open and kind != "gpx":
            raise InputError(f"{self.path}: holds {kind[:40]!r}; expected a GPX file")
        if kind == "trk":
            self.names.append(str(len(self.names) + 1))
        self.open.append(element)

    def _finish(self, element: Element) -> Iterator[tuple[int, Fix]]:
        kind = _kind(element)
        if kind == "name" and _kind(self.open[-1]) == "trk":
            name = (element.text or "").strip()
            self.names[-1] = name if name and name not in self.names else self.names[-1]
        if kind in POINTS:
            self.open[-1].remove(element)  # so that the file is never held as a whole
            self.pending = 0
        if kind == POINTS[0]:
            self.count += 1
            where = f"{self.path}: point {self.count}"
            yield self.count, _fix(where, element, self.names[-1] if self.names else "")


def open_gpx(path: Path) -> Recording:
    """Read the track points of a GPX file; each track is an agent, by its name.

    One that has none, or another's, goes by its number, counted from 1. Routes and waypoints are
    passed over. Raises InputError for what is no GPX, and a point without a place or a time.
    """
    return Recording(
        name=str(path), row="point", unit="s", geographic=True, fixes=lambda: _fixes(path)
    )


def _fixes(path: Path) -> Iterator[tuple[int, Fix]]:
    reader = Reader(path)
    try:
        refuse_doctype(path)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield from reader.feed(piece)
        reader.parser.close()
    except InputError:
        raise
    except (ParseError, LookupError, ValueError) as error:  # these two: an unknown encoding
        raise InputError(f"{path}: cannot be read as GPX: {error}") from error
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not reader.count:
        raise InputError(f"{path}: has no track points; expected a GPX file of recorded tracks")


def _fix(where: str, point: Element, agent: str) -> Fix:
    longitude, latitude = _degrees(where, point, "lon"), _degrees(where, point, "lat")
    check_degrees(where, longitude, latitude)
    time = next((child.text or "" for child in point if _kind(child) == "time"), "")
    try:
        return Fix(agent, seconds_from_text(time), longitude, latitude)
    except ValueError as error:
        raise InputError(
            f"{where}: its time is {time[:40]!r}; expected {EXPECTED}: without times nobody knows "
            "how fast it moved"
        ) from error


def _degrees(where: str, point: Element, name: str) -> float:
    text = point.get(name, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {text[:40]!r}; expected degrees")
    return number


def _kind(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]
