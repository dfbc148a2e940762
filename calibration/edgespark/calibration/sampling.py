"""Where windows are drawn: by seed, the same number in each stratum of a grid over the raster.

Draws depend on the seed and on what is drawn for alone (no generator whose stream a library may
change), so equal files and seeds give equal windows for ever.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

from edgespark.runtime.grid import Window

TRIES = 32
"""Windows that are looked at in a stratum, one after the other, before it counts as barren."""
BITS = 53
"""Of a float64's mantissa."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A raster of `columns` x `rows`, and the side of its windows; all in pixels."""

    columns: int
    rows: int
    size: int

    @property
    def window(self) -> tuple[int, int]:
        """Width and height of a window: its side, or the raster's where that is shorter."""
        return min(self.size, self.columns), min(self.size, self.rows)

    @property
    def places(self) -> tuple[int, int]:
        """How many columns, and rows, a window's upper left corner may stand at."""
        return self.columns - self.window[0] + 1, self.rows - self.window[1] + 1


def drawn(*words: object) -> float:
    """Return a number in [0, 1) that hangs on the words alone."""
    digest = hashlib.sha256(repr(words).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - BITS)) / (1 << BITS)


def shuffled(count: int, *words: object) -> list[int]:
    """Return 0…count - 1 in an order that hangs on the words alone."""
    return sorted(range(count), key=lambda k: (drawn(*words, k), k))


def strata(room: Room, count: int) -> list[tuple[range, range]]:
    """Return where a corner may stand in each stratum, (columns, rows): at most `count` strata.

    They are as square as they can be, and cover all places, each once.
    """
    across, down = room.places
    columns = min(max(round((count * across / down) ** 0.5), 1), across, count)
    rows = min(max(count // columns, 1), down)
    return list(product(_cut(across, columns), _cut(down, rows)))


def windows(
    room: Room, count: int, valid: Callable[[Window], bool], *words: object
) -> Iterator[Window]:
    """Give windows for which `valid` holds, none twice, as long as more are found and wanted.

    The grid is made for `count` of them. Each round takes one window of each stratum, the strata
    in an order of its own; one in which nothing valid was found in 32 tries is left out from then.
    """
    width, height = room.window
    cells = strata(room, count)
    corners = {k: _corners(*cell, *words, k) for k, cell in enumerate(cells)}
    turn = 0
    while corners:
        for k in [k for k in shuffled(len(cells), *words, "turn", turn) if k in corners]:
            for _, (column, row) in zip(range(TRIES), corners[k], strict=False):
                if valid((column, row, width, height)):
                    yield column, row, width, height
                    break
            else:
                del corners[k]
        turn += 1


def _corners(columns: range, rows: range, *words: object) -> Iterator[tuple[int, int]]:
    """Give every place of a stratum once, in a drawn order."""
    most, seen, turn = prod(map(len, (columns, rows))), set[int](), 0
    while len(seen) < most:
        place = int(drawn(*words, turn) * most)
        turn += 1
        if place not in seen:
            seen.add(place)
            yield columns[place % len(columns)], rows[place // len(columns)]


def _cut(length: int, parts: int) -> list[range]:
    borders = [k * length // parts for k in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(borders)]
