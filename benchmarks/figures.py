"""Sums of rounds: each figure taken within a round, then the median, and the ends of all rounds."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def middle(figures: Sequence[float], digits: int) -> float | None:
    """Return the median; None of nothing."""
    return round(statistics.median(figures), digits) if figures else None


def ends(figures: Sequence[float], digits: int) -> list[float]:
    """Return the least and the greatest; nothing of nothing."""
    return [round(end(figures), digits) for end in (min, max)] if figures else []


def within(
    rounds: Sequence[Mapping[str, float]], base: str, form: str, digits: int
) -> dict[str, Any] | None:
    """Tell how many times as fast as `base` a form is in the rounds that have both.

    A round is the time of each form that it has. None where no round has both.
    """
    found = [each[base] / each[form] for each in rounds if base in each and form in each]
    if not found:
        return None
    return {"median": middle(found, digits), "range": ends(found, digits)}


def distance(folder: Path, form: str, base: str) -> float | None:
    """Return the relative L2 distance of what two forms gave; None where one gave nothing.

    Each lies in the folder, as an array of its name.
    """
    if not all((folder / f"{each}.npy").exists() for each in (form, base)):
        return None
    got, wanted = (np.load(folder / f"{each}.npy") for each in (form, base))
    return round(float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)), 5)
