"""Many scenes at once, as arrays: made in parallel, held in memory, drawn in batches."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.scenes import scene
from edgespark.export.worlds.words import note
from edgespark.runtime.progress import track

TRAIN, HELD_OUT = 1, 2
CHUNK = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """n scenes: each sensor's raw rasters [n, bands, 64, 64], labels [n], and field notes."""

    rgb: NDArray[np.uint8]
    msi: NDArray[np.int16]
    sar: NDArray[np.float32]
    label: NDArray[np.int64]
    language: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the scenes."""
        return len(self.label)


def make(stream: int, start: int, stop: int) -> Scenes:
    """Make scenes `start` to `stop` of a stream, one after the other."""
    made = [scene(stream, index) for index in range(start, stop)]
    notes = [note(stream, start + i, each.shares) for i, each in enumerate(made)]
    return Scenes(
        rgb=np.stack([each.rgb for each in made]),
        msi=np.stack([each.msi for each in made]),
        sar=np.stack([each.sar for each in made]),
        label=np.array([each.label for each in made]),
        language=np.array(notes),
    )


def gather(stream: int, count: int) -> Scenes:
    """Make the first `count` scenes of a stream on all cores."""
    starts = range(0, count, CHUNK)
    stops = [min(start + CHUNK, count) for start in starts]
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(partial(make, stream), starts, stops)
        with track(made, "scenes", len(starts)) as shown:
            chunks = list(shown)
    return Scenes(
        **{
            field.name: np.concatenate([getattr(chunk, field.name) for chunk in chunks])
            for field in fields(Scenes)
        }
    )


def batches(rng: np.random.Generator, count: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield index batches for ever, each scene once an epoch, in a new order every time."""
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]
