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
from edgespark.runtime.sensory import (
    Clips,
    ColouredPoints,
    Fbank,
    Motion,
    Picture,
    PicturePair,
    Voxels,
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
PICTURE = Picture(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
RECORDS: dict[str, Preprocessing] = {
    "imagery": imagery(2),
    "frames": Frames(count=2, frame=imagery(3)),
    "points": POINTS,
    "table": TABLE,
    "tracks": TRACKS,
    "series": SERIES,
    "picture": PICTURE,
    "picture pair": PicturePair(picture=PICTURE, second="depth"),
    "clips": Clips(clips=2, seconds=1, crops=3, picture=PICTURE),
    "fbank": Fbank(rate=16000, mels=8, frames=10, mean=-4, std=4),
    "motion": Motion(channels=("x", "y"), rate=100, samples=20),
    "voxels": Voxels(count=6),
    "coloured points": ColouredPoints(count=8, groups=3, neighbours=2),
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
    "picture": _draw.integers(0, 256, size=(3, SIZE, SIZE), dtype=np.uint8),
    "picture pair": tuple(_draw.integers(0, 256, size=(2, 3, SIZE, SIZE), dtype=np.uint8)),
    "clips": _draw.integers(0, 256, size=(2, 3, SIZE, SIZE + 2), dtype=np.uint8),
    "fbank": _draw.uniform(-0.5, 0.5, size=1840),
    "motion": _draw.normal(size=(2, 20)),
    "voxels": _draw.normal(size=(2, 6)),
    "coloured points": _draw.uniform(size=(8, 6)),
    "text": "a note",
}
