"""Words in messages: what was perhaps meant, and text that cannot steer a terminal."""

from collections.abc import Iterable
from difflib import get_close_matches

NEAREST = 2
LISTED = 12


def near(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean 'rgb'?)" with the known names that are like this one; "" for none."""
    names = get_close_matches(str(name), list(known), n=NEAREST)
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""


def listed(names: Iterable[str]) -> str:
    """Write names with commas between them: the first twelve, then how many more there are."""
    names = list(names)
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str, keep: str = "") -> str:
    """Return the text with each control or invisible character, but those to keep, as an escape.

    So neither an answer nor a name in a hostile file steers the terminal that shows it.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)
