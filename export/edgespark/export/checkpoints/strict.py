"""A checkpoint's tensors against a model's: all that differ are told at once."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edgespark.export.checkpoints.folding import lines
from edgespark.export.checkpoints.stored import Stored
from edgespark.runtime.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]


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
            told += [f"  {title} ({len(names)}):", *(f"    {line}" for line in lines(names))]
    raise InputError("\n".join(told))


def _misshapen(found: Shapes, wanted: Shapes) -> list[str]:
    return [
        f"{name}: expected {list(shape)}, got {list(found[name])}"
        for name, shape in wanted.items()
        if name in found and found[name] != tuple(shape)
    ]
