"""Words in messages: what was perhaps meant, and text that cannot flood or steer a terminal."""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from reprlib import Repr

NEAREST = 2
LISTED = 12
LETTERS = 64
"""Of a name; of a longer one the middle is left out."""
SHORTENED = Repr()
SHORTENED.maxstring = SHORTENED.maxother = SHORTENED.maxlong = LETTERS
COMPARED = 256
"""Known names that a given one is compared with: a file may have a hundred thousand."""


def near(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean 'rgb'?)" with the known names that are like this one; "" for none.

    Only the first 256 are compared, and the first 64 letters of each.
    """
    some = [each[:LETTERS] for each in islice(known, COMPARED)]
    names = get_close_matches(str(name)[:LETTERS], some, n=NEAREST)
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""


def short(text: str) -> str:
    """Return a text of at most 64 letters: of a longer one the start and the end."""
    half = (LETTERS - 1) // 2
    return text if len(text) <= LETTERS else f"{text[:half]}…{text[-half:]}"


def shown(value: object) -> str:
    """Return how Python writes a value, in the shortness that a message can hold."""
    if isinstance(value, str):
        return repr(short(value))
    try:
        return SHORTENED.repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return f"{type(value).__name__} of endless digits"


def listed(names: Iterable[str], told: Callable[[str], str] = short) -> str:
    """Write names with commas between them: the first twelve, then how many more there are.

    `told` says how to write each of the twelve.
    """
    names = list(names)
    rest = len(names) - LISTED
    return ", ".join(map(told, names[:LISTED])) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str, keep: str = "") -> str:
    """Return the text with each control or invisible character, but those to keep, as an escape.

    So neither an answer nor a name in a hostile file steers the terminal that shows it.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a line for each row of cells, its columns as wide as their widest cell."""
    cells = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return [line.rstrip() for line in lines]
