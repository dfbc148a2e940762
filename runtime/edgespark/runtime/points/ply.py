"""PLY (Stanford polygon format 1.0): the points of its vertices, some at a time.

Read here, since the libraries at hand read such a file whole: its header says how each point lies.
"""

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.points.colours import BYTE, POSITION, SHARE, WORD, columns_of, full_of
from edgespark.runtime.points.lines import Layout, lines_of, numbers
from edgespark.runtime.points.thinned import MOST_POINTS, Doubles, doubles

ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
FULL = {"u1": BYTE, "u2": WORD, "f4": SHARE, "f8": SHARE}
"""What full colour is in numbers of a type."""
LONGEST_LINE, MOST_LINES = 1 << 12, 1 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Vertices:
    """What a header tells: how many vertices, of which properties (name, type), from which line."""

    format: str
    count: int
    properties: tuple[tuple[str, str], ...]
    line: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the properties."""
        return tuple(name for name, _ in self.properties)


def ply_pieces(path: Path, *, coloured: bool = False) -> Iterator[Doubles]:
    """Yield the vertices of a PLY file, ASCII or binary, float64 [some, 3]; faces do not count.

    With `coloured`, red, green and blue follow as they are stored: [some, 6]. Raises InputError
    where the header or the data is broken, or of a form that is not read: the vertices must come
    first, and none of their properties may be a list.
    """
    with path.open("rb") as file:
        vertices = _header(file)
        read = _ascii if vertices.format == "ascii" else _binary
        found = 0
        for piece in read(file, vertices, columns_of(vertices.names, coloured=coloured)):
            found += len(piece)
            yield piece
    if found < vertices.count:
        raise InputError(
            f"ends early: {found} points of the {vertices.count} that its header tells of"
        )


def ply_full(path: Path, _: Doubles) -> float:
    """Return what full colour is in a file, by the type of its colours; InputError if untold."""
    with path.open("rb") as file:
        vertices = _header(file)
    red = columns_of(vertices.names, coloured=True)[len(POSITION)]
    return full_of(TYPES[vertices.properties[red][1]], FULL)


def _ascii(file: BinaryIO, vertices: Vertices, axes: tuple[int, ...]) -> Iterator[Doubles]:
    layout = Layout(separator=None, width=len(vertices.properties), axes=axes)
    with io.TextIOWrapper(file, encoding="ascii", errors="replace") as text:
        lines = islice(lines_of(text), min(vertices.count, sys.maxsize))
        yield from numbers(lines, layout, vertices.line)


def _binary(file: BinaryIO, vertices: Vertices, axes: tuple[int, ...]) -> Iterator[Doubles]:
    order = ORDERS[vertices.format]
    dtype = np.dtype([(name, order + TYPES[kind]) for name, kind in vertices.properties])
    left = vertices.count
    while left and (data := file.read(dtype.itemsize * min(left, MOST_POINTS))):
        rows = np.frombuffer(data, dtype, count=len(data) // dtype.itemsize)
        left -= len(rows)
        yield np.column_stack([doubles(rows[vertices.names[axis]]) for axis in axes])


def _header(file: BinaryIO) -> Vertices:
    lines = _lines(file)
    if lines[0] != ["ply"]:
        raise InputError('is no PLY file: it does not begin with "ply"')
    formats = [line[1] for line in lines if line[0] == "format" and line[1:2]]
    if len(formats) != 1 or formats[0] not in ORDERS:
        raise InputError(f"has the format {formats}; expected one of: {', '.join(ORDERS)}")
    count, properties = _vertices(lines)
    return Vertices(format=formats[0], count=count, properties=properties, line=len(lines) + 1)


def _lines(file: BinaryIO) -> list[list[str]]:
    """Return the words of each line to the end of the header; an empty line has one, empty."""
    lines: list[list[str]] = []
    while len(lines) < MOST_LINES:
        line = file.readline(LONGEST_LINE)
        lines.append(line.decode("latin-1").split() or [""])
        if lines[-1] == ["end_header"]:
            return lines
        if not line.endswith(b"\n") or lines[0] != ["ply"]:
            break
    if lines[0] != ["ply"]:
        return lines
    raise InputError("its header has no end")


def _vertices(lines: list[list[str]]) -> tuple[int, tuple[tuple[str, str], ...]]:
    places = [place for place, line in enumerate(lines) if line[0] == "element"]
    first = lines[places[0]] if places else []
    if len(first) != 3 or first[1] != "vertex" or not first[2].isdecimal():  # noqa: PLR2004 element NAME COUNT
        raise InputError(
            f'its first element is {" ".join(first)!r}; expected "element vertex" and their number'
        )
    if int(first[2]) == 0:
        raise InputError("holds no points")
    end = places[1] if len(places) > 1 else len(lines)
    told = [line for line in lines[places[0] + 1 : end] if line[0] == "property"]
    properties = tuple(_property(line) for line in told)
    names = [name for name, _ in properties]
    if len(set(names)) < len(names) or not {*POSITION} <= {*names}:
        raise InputError(
            f"its vertices have the properties {names}; expected x, y and z, each once"
        )
    return int(first[2]), properties


def _property(line: list[str]) -> tuple[str, str]:
    if len(line) != 3 or line[1] not in TYPES:  # noqa: PLR2004 property TYPE NAME
        raise InputError(
            f'its vertices have a {" ".join(line)!r}; expected "property TYPE NAME", the type one '
            f"of: {', '.join(TYPES)}"
        )
    return line[2], line[1]
