"""A small record of every kind of preprocessing, and a value that each takes."""

from typing import Any

import numpy as np

from edgespark.runtime.preprocessing import (
    Band,
    Column,
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Text,
    Tracks,
)

SIZE = 4


def imagery(bands: int) -> Imagery:
    names = [Band(name=f"b{i}", low=-1000, high=1000, mean=0, std=1) for i in range(bands)]
    return Imagery(
        bands=tuple(names),
        rows=SIZE,
        columns=SIZE,
        dtypes=("float32",),
        unit="1",
        min_valid=0.5,
        gsd_low=1,
        gsd_high=100,
    )


TRACKS = Tracks(observed=4, predicted=3, step=0.5, agents=2, radius=10)
POINTS = Points(count=8, groups=3, neighbours=2)
TABLE = Table(
    columns=(
        Column(name="height", type="number", edges=(1.0, 2.0)),
        Column(name="tree", type="category", values=("oak", "fir")),
    ),
    rows=3,
)
SERIES = Series(
    nodes=("north", "south"),
    steps=5,
    predicted=2,
    interval=300,
    mean=50,
    std=10,
    unit="km/h",
)
RECORDS: dict[str, Preprocessing] = {
    "imagery": imagery(2),
    "frames": Frames(count=2, frame=imagery(3)),
    "points": POINTS,
    "table": TABLE,
    "tracks": TRACKS,
    "series": SERIES,
    "text": Text(max_tokens=40),
}

_draw = np.random.default_rng(11)
TRACK = _draw.normal(size=(3, 4, 2)).cumsum(axis=1)
VALUES: dict[str, Any] = {
    "imagery": _draw.normal(size=(2, SIZE, SIZE)).astype(np.float32),
    "frames": _draw.normal(size=(3, 3, SIZE, SIZE)).astype(np.float32),
    "points": _draw.normal(size=(9, 3)),
    "table": np.array([["1.5", "oak"], ["", "fir"]]),
    "tracks": TRACK,
    "series": np.stack(
        [_draw.normal(50, 10, size=(5, 2)), np.full((5, 2), 0.25), np.full((5, 2), 3)], axis=2
    ),
    "text": "a note",
}
