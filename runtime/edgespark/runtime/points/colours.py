"""Colours of points: what their columns are named, and what full colour is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgespark.runtime.errors import InputError

POSITION = ("x", "y", "z")
COLOURED = (*POSITION, "red", "green", "blue")
NAMES = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)
BYTE, WORD, SHARE = 255.0, 65535.0, 1.0
"""Full colour where colours are stored in 8 bits, in 16, or as shares of it."""


def columns_of(names: Sequence[str], *, coloured: bool) -> tuple[int, ...]:
    """Return where x, y and z stand among the names, and red, green and blue where they must.

    The names of colours are `red`, `r` or `diffuse_red` and so on, in any case of their letters.
    Raises InputError where no three of them stand there once each.
    """
    axes = tuple(names.index(axis) for axis in POSITION)
    if not coloured:
        return axes
    lower = [name.lower() for name in names]
    for each in NAMES:
        if all(lower.count(name) == 1 for name in each):
            return axes + tuple(lower.index(name) for name in each)
    raise InputError(
        f"has the columns {', '.join(names)}; the model takes colours, too: expected red, green "
        "and blue (or r, g and b), each once"
    )


def full_of(kind: str, known: dict[str, float]) -> float:
    """Return what full colour is in numbers of a type; InputError where that cannot be told."""
    if kind not in known:
        raise InputError(
            f"has colours of type {kind}, which does not tell what full colour is: say so with "
            "colours=255"
        )
    return known[kind]


def full_of_dtype(dtype: np.dtype[Any]) -> float:
    """Return what full colour is in an array: 255 in whole numbers, 1 in real ones."""
    return BYTE if dtype.kind in "iu" else SHARE
