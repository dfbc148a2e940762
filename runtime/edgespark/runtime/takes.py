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
from edgespark.runtime.sensory import (
    Clips,
    ColouredPoints,
    Fbank,
    Motion,
    Picture,
    PicturePair,
    Voxels,
)

SHIFT, OVERLAP = 0.01, 0.015  # seconds from one frame of sound to the next, and of both
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


def _picture(record: Picture) -> str:
    size = f"{record.size} x {record.size} pixels"
    return f"a colour picture, uint8, of which the middle square is brought to {size}"


def _pair(record: PicturePair) -> str:
    return f"{_picture(record.picture)}, and its {record.second}"


def _clips(record: Clips) -> str:
    clips = f"the first frame of each of {record.clips} clips of {record.seconds:g} s is taken"
    size = f"{record.picture.size} x {record.picture.size} pixels"
    return f"a video, of which {clips}, in {record.crops} square cuts of {size}"


def _fbank(record: Fbank) -> str:
    seconds = record.frames * SHIFT + OVERLAP
    taken = f"the first {seconds:g} s and the first channel are taken"
    return f"sound of 0.025 s or more, brought to {record.rate} Hz, of which {taken}"


def _motion(record: Motion) -> str:
    signals = _named("signal", record.channels)
    seconds = f"{record.samples / record.rate:g} s ({record.samples} samples)"
    return f"{seconds} of {signals}, at {record.rate:g} Hz or resampled to it"


def _voxels(record: Voxels) -> str:
    return f"{record.count} voxels, or rows of so many: repeats, of which the mean is taken"


def _coloured_points(record: ColouredPoints) -> str:
    groups = f"in {record.groups} groups of {record.neighbours}"
    return f"{record.count} points with colours, farthest first of more, {groups}"


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
    Picture: _picture,
    PicturePair: _pair,
    Clips: _clips,
    Fbank: _fbank,
    Motion: _motion,
    Voxels: _voxels,
    ColouredPoints: _coloured_points,
}
