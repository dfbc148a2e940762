"""A checkpoint's tensors against a model's: all that differ are told at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edgespark.export.checkpoints.stored import Stored
from edgespark.runtime.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]

LONG = 24
"""Lines; a longer list has names that differ in one number on one line: `layers.{0-31}.norm`."""
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def check_names(
    stored: Stored, wanted: Shapes, optional: Callable[[str], bool], where: str | Path
) -> None:
    """Raise InputError that lists all missing, unexpected and wrongly shaped tensors.

    `optional` tells of a name whether it may be absent or, unknown to the model, present. Its
    shape is checked where the model has it. `where` is what the text calls the checkpoint.
    """
    found = stored.shapes
    lists = {
        "missing": [n for n in wanted if n not in found and not optional(n)],
        "unexpected": [n for n in found if n not in wanted and not optional(n)],
        "of the wrong shape": _misshapen(found, wanted),
    }
    if not any(lists.values()):
        return
    there = len(found.keys() & wanted.keys())
    told = [f"checkpoint {where}: {there} of {len(wanted)} expected tensors are there"]
    for title, names in lists.items():
        if names:
            told += [f"  {title} ({len(names)}):", *(f"    {line}" for line in _lines(names))]
    raise InputError("\n".join(told))


def _misshapen(found: Shapes, wanted: Shapes) -> list[str]:
    return [
        f"{name}: expected {list(shape)}, got {list(found[name])}"
        for name, shape in wanted.items()
        if name in found and found[name] != tuple(shape)
    ]


def _lines(names: list[str]) -> list[str]:
    """Return the names; of a long list, those alike but for a number on one line."""
    return names if len(names) <= LONG else _folded(_folded(names))


def _folded(names: Iterable[str]) -> list[str]:
    """Put names on one line that differ only in their first number that still stands alone."""
    groups: dict[str, list[int]] = {}
    for name in names:
        pattern = NUMBER.sub("{}", name, count=1)
        groups.setdefault(pattern, [])
        groups[pattern] += [int(each) for each in NUMBER.findall(name)[:1]]
    return [_filled(pattern, numbers) for pattern, numbers in groups.items()]


def _filled(pattern: str, numbers: list[int]) -> str:
    if not numbers:
        return pattern
    return pattern.replace("{}", str(numbers[0]) if len(numbers) == 1 else _ranges(numbers), 1)


def _ranges(numbers: list[int]) -> str:
    """Write [0, 1, 2, 5] as {0-2,5}."""
    runs: list[list[int]] = []
    for each in sorted(set(numbers)):
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return "{" + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) + "}"
