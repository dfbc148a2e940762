"""Lines of numbers (.xyz, .txt, .csv, ASCII PLY), some at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.points.colours import COLOURED, POSITION, columns_of
from edgespark.runtime.points.thinned import Doubles

LONGEST, MOST_LINES = 1 << 12, 1 << 15
"""Letters of a line, and lines that are held at a time."""
COMMENTS = ("#", "//")
SEPARATORS = (";", ",")
SHOWN = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a line is cut (None: at white space), into how many columns, and which are x, y and z.

    Where six are meant, the last three are red, green and blue. `names` are the columns' names,
    where they are told.
    """

    separator: str | None
    width: int
    axes: tuple[int, ...] = (0, 1, 2)
    names: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What a line must hold, for messages."""
        return f"numbers x, y{' and z' if len(self.axes) == len(POSITION) else ', z and colours'}"

    def cells(self, line: str) -> list[str]:
        """Cut a line."""
        return [cell.strip() for cell in line.strip().split(self.separator)]

    def is_odd(self, line: str) -> bool:
        """Tell whether a line has another number of columns, or no end."""
        return len(line) == LONGEST or len(line.split(self.separator)) != self.width


def text_pieces(path: Path, *, coloured: bool = False) -> Iterator[Doubles]:
    """Yield a text's points, float64 [at most 32768, 3]; with colours [at most 32768, 6].

    One point a line, cut at ";", else ",", else white space. A first line of names (which may be
    a comment) says which columns are x, y and z; without names they are the first three. Colours
    are named as `columns_of` says, or the next three. Lines that are empty or begin with # or //
    count as comments. Raises InputError with the number of the line.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = lines_of(file)
        layout, number, ahead = _layout(lines)
        layout = _coloured(layout) if coloured else layout
        yield from numbers(chain(ahead, lines), layout, number)


def lines_of(file: TextIO) -> Iterator[str]:
    """Yield the lines of a text, none longer than 4096 letters: a longer one comes in parts."""
    return iter(partial(file.readline, LONGEST), "")


def numbers(lines: Iterator[str], layout: Layout, number: int) -> Iterator[Doubles]:
    """Yield the points of lines, the first of which is line `number` of its file.

    Raises InputError where a line has another number of columns, or no number where one must be.
    """
    while some := list(islice(lines, MOST_LINES)):
        yield _points(some, layout, number)
        number += len(some)


def _points(lines: Sequence[str], layout: Layout, number: int) -> Doubles:
    rows = [line for line in lines if not _is_comment(line)]
    if not rows:
        return np.empty((0, len(layout.axes)))
    if any(layout.is_odd(line) for line in rows):
        raise InputError(_culprit(lines, layout, number))
    try:
        return np.loadtxt(
            rows, delimiter=layout.separator, usecols=layout.axes, ndmin=2, comments=None
        )
    except ValueError as error:
        raise InputError(_culprit(lines, layout, number)) from error


def _culprit(lines: Sequence[str], layout: Layout, number: int) -> str:
    for place, line in enumerate(lines):
        cells = layout.cells(line)
        if _is_comment(line):
            continue
        if len(line) == LONGEST:
            return f"line {number + place} is longer than any of numbers: is it a text?"
        if len(cells) != layout.width:
            return f"line {number + place} has {len(cells)} columns; expected {layout.width}"
        if not all(_is_number(cells[axis]) for axis in layout.axes):
            return f"line {number + place}: {line.strip()[:SHOWN]!r}: expected {layout.expected}"
    return f"lines {number} to {number + len(lines) - 1}: expected {layout.expected}"


def _layout(lines: Iterator[str]) -> tuple[Layout, int, list[str]]:
    """Return the layout, the number of the first line of points, and that line if it was read."""
    named = None
    for number, line in enumerate(lines, 1):
        if _is_comment(line):
            named = named or _named(line.strip().lstrip("#/"))
            continue
        cells = _plain(line).cells(line)
        if not all(map(_is_number, cells[:3])):
            return _header(line, number), number + 1, []
        if len(cells) < len(POSITION):
            raise InputError(f"line {number} has {len(cells)} columns; expected x, y and z")
        if named and named.width != len(cells):
            raise InputError(
                f"a comment names {named.width} columns, line {number} has {len(cells)}: make "
                "them agree"
            )
        return named or _plain(line), number, [line]
    raise InputError("holds no points")


def _coloured(layout: Layout) -> Layout:
    """Return the layout with the columns of colours; InputError where there are none."""
    if layout.names:
        return replace(layout, axes=columns_of(layout.names, coloured=True))
    if layout.width < len(COLOURED):
        raise InputError(
            f"has {layout.width} columns; expected {len(COLOURED)} or more: {', '.join(COLOURED)}"
        )
    return replace(layout, axes=tuple(range(len(COLOURED))))


def _header(line: str, number: int) -> Layout:
    layout = _named(line)
    if layout is None:
        raise InputError(
            f"line {number}: {line.strip()[:SHOWN]!r}: expected numbers x, y and z, or the names "
            "of columns, x, y and z among them"
        )
    return layout


def _named(line: str) -> Layout | None:
    """Return the layout that a line of names tells; None where it does not name x, y and z once."""
    plain = _plain(line)
    names = [cell.strip("\"'").lower() for cell in plain.cells(line)]
    if any(names.count(axis) != 1 for axis in POSITION):
        return None
    axes = columns_of(names, coloured=False)
    return Layout(separator=plain.separator, width=len(names), axes=axes, names=tuple(names))


def _plain(line: str) -> Layout:
    separator = next((each for each in SEPARATORS if each in line), None)
    return Layout(separator=separator, width=len(line.strip().split(separator)))


def _is_comment(line: str) -> bool:
    line = line.strip()
    return not line or line.startswith(COMMENTS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
