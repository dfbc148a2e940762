"""The whole synthetic world: each modality's raw input, how it is prepared, what is asked."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.clouds import CLOUD, cloud
from edgespark.export.worlds.flows import FLOW, SERIES, flow
from edgespark.export.worlds.plots import TABLE, plots
from edgespark.export.worlds.programs import CODE, program
from edgespark.export.worlds.scenes import scene
from edgespark.export.worlds.sensors import SENSORS
from edgespark.export.worlds.subjects import Subject
from edgespark.export.worlds.walks import TRACKS, WALK, walk
from edgespark.export.worlds.words import PLACE, note
from edgespark.runtime.preprocessing import Preprocessing, Text

TEXT_TOKENS = 128
RECORDS: dict[str, Preprocessing] = {
    **SENSORS,
    "point_cloud": CLOUD,
    "table": TABLE,
    "trajectory": TRACKS,
    "graph": SERIES,
    "language": Text(max_tokens=TEXT_TOKENS),
    "code": Text(max_tokens=TEXT_TOKENS),
}
SUBJECTS: dict[str, Subject] = {"place": PLACE, "code": CODE, "walk": WALK, "flow": FLOW}
ASKED: dict[str, str] = dict.fromkeys(RECORDS, "place") | {
    "code": "code",
    "trajectory": "walk",
    "graph": "flow",
}
STREAMS = {
    "point_cloud": 1 << 41,
    "table": 1 << 42,
    "code": 1 << 43,
    "walk": 1 << 44,
    "flow": 1 << 45,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample of each modality; all of one subject show the same thing.

    `raw` is by modality, as a user would give it; `label` by subject; `target` by modality, what a
    forecast should say, in the units of the input.
    """

    raw: dict[str, NDArray[np.generic]]
    label: dict[str, int]
    target: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def sample(stream: int, index: int) -> Sample:
    """Make sample number `index` of a stream; a pure function of both. Streams never overlap."""
    made = [make(stream, index) for make in (_place, _code, _walk, _flow)]
    return Sample(
        raw={name: array for each in made for name, array in each.raw.items()},
        label={name: label for each in made for name, label in each.label.items()},
        target={name: array for each in made for name, array in each.target.items()},
    )


def draws(name: str, stream: int, index: int) -> np.random.Generator:
    """Give the generator of one sample, of its own for each name of STREAMS."""
    key = np.array([STREAMS[name] + stream, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _place(stream: int, index: int) -> Sample:
    place = scene(stream, index)
    raw = dict(place.raw)
    raw["point_cloud"] = cloud(draws("point_cloud", stream, index), place.ground)
    raw["table"] = plots(draws("table", stream, index), place.ground)
    raw["language"] = np.array(note(stream, index, place.ground.shares))
    return Sample(raw=raw, label={"place": place.ground.label})


def _code(stream: int, index: int) -> Sample:
    rng = draws("code", stream, index)
    label = int(rng.integers(len(CODE.classes)))
    return Sample(raw={"code": np.array(program(rng, label))}, label={"code": label})


def _walk(stream: int, index: int) -> Sample:
    made = walk(draws("walk", stream, index))
    past, future = made.tracks[:, : TRACKS.observed], made.tracks[0, TRACKS.observed :]
    return Sample(
        raw={"trajectory": past}, label={"walk": made.label}, target={"trajectory": future}
    )


def _flow(stream: int, index: int) -> Sample:
    made = flow(draws("flow", stream, index))
    past, future = made.series[: SERIES.steps], made.series[SERIES.steps :, :, 0]
    return Sample(raw={"graph": past}, label={"flow": made.label}, target={"graph": future})
