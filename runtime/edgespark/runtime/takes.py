"""What a modality takes, in words: the sizes and the unit of an input that the model knows."""

from collections.abc import Callable
from typing import Any

from edgespark.runtime.preprocessing import (
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Text,
    Tracks,
)

SHOWN = 12
"""Names that are listed; of more, the first so many are."""


def takes(record: Preprocessing) -> str:
    """Say in one line which sizes an input may have, and in which unit it is."""
    return WORDS[type(record)](record)


def _imagery(record: Imagery) -> str:
    bands = _named("band", tuple(band.name for band in record.bands))
    types = " or ".join(record.dtypes)
    gsd = f"{record.gsd_low:g} to {record.gsd_high:g} m per pixel"
    return f"{bands}, {types} in {record.unit}, at {record.rows} x {record.columns} pixels, {gsd}"


def _frames(record: Frames) -> str:
    return f"{record.count} frames of a clip, each of {_imagery(record.frame)}"


def _points(record: Points) -> str:
    groups = f"in {record.groups} groups of {record.neighbours}"
    return f"{record.count} points or more, of which {record.count} are taken, {groups}"


def _table(record: Table) -> str:
    columns = _named("column", tuple(f"{each.name} ({each.type})" for each in record.columns))
    return f"1 to {record.rows} rows of {columns}"


def _tracks(record: Tracks) -> str:
    steps = f"{record.observed} positions in metres, {record.step:g} s apart"
    agents = f"1 to {record.agents} agents within {record.radius:g} m, the agent itself first"
    return f"{steps}, of {agents}; {record.predicted} are to come"


def _series(record: Series) -> str:
    nodes = _named("node", record.nodes)
    steps = f"{record.steps} steps, {record.interval:g} s apart, in {record.unit}"
    return f"{steps}, at {nodes}; {record.predicted} are to come"


def _text(record: Text) -> str:
    return f"1 to {record.max_tokens} tokens"


def _named(noun: str, names: tuple[str, ...]) -> str:
    """Count the names and list them: "2 bands (VV, VH)"."""
    listed = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"{len(names)} {noun}{'s' * (len(names) != 1)} ({listed})"


WORDS: dict[type[Preprocessing], Callable[[Any], str]] = {
    Imagery: _imagery,
    Frames: _frames,
    Points: _points,
    Table: _table,
    Tracks: _tracks,
    Series: _series,
    Text: _text,
}
