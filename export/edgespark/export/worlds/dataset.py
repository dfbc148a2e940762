"""Many samples at once, as arrays: made in parallel, held in memory, drawn in batches."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.world import RECORDS, sample
from edgespark.runtime.inputs import READERS
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Points, Preprocessing, Series, Table, Tracks
from edgespark.runtime.progress import track

TRAIN, HELD_OUT = 1, 2
CHUNK = 100
READY: tuple[type[Preprocessing], ...] = (Points, Table, Tracks, Series)
"""Kinds that are prepared once, one by one; rasters are prepared batch by batch, which is exact."""

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """n samples of every modality, with raw inputs, labels and targets as in `Sample`, stacked.

    `ready` holds the prepared arrays of READY kinds as "modality.array", `anchor` what forecasts
    are told relative to.
    """

    raw: Arrays
    ready: Arrays
    label: dict[str, NDArray[np.int64]]
    target: dict[str, NDArray[np.float64]]
    anchor: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        """Count the samples."""
        return len(next(iter(self.label.values())))


def make(stream: int, start: int, stop: int) -> Samples:
    """Make samples `start` to `stop` of a stream, one after the other."""
    made = [sample(stream, index) for index in range(start, stop)]
    raw = {name: np.stack([each.raw[name] for each in made]) for name in RECORDS}
    ready: Arrays = {}
    anchor: dict[str, NDArray[np.float64]] = {}
    for name, record in RECORDS.items():
        if isinstance(record, READY):
            prepared = [prepare(record, value) for value in raw[name]]
            for array in prepared[0].arrays:
                ready[f"{name}.{array}"] = np.concatenate([each.arrays[array] for each in prepared])
            anchors = [each.anchor for each in prepared if each.anchor is not None]
            if anchors:
                anchor[name] = np.stack(anchors)
    first = made[0]
    return Samples(
        raw=raw,
        ready=ready,
        label={name: np.array([each.label[name] for each in made]) for name in first.label},
        target={name: np.stack([each.target[name] for each in made]) for name in first.target},
        anchor=anchor,
    )


def prepare(record: Preprocessing, value: object) -> Prepared:
    """Prepare one input as the runtime does; no text is among them."""
    return READERS[type(record)](record, value, lambda _: [])


def gather(stream: int, count: int) -> Samples:
    """Make the first `count` samples of a stream on all cores."""
    starts = range(0, count, CHUNK)
    stops = [min(start + CHUNK, count) for start in starts]
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(partial(make, stream), starts, stops)
        with track(made, "samples", len(starts)) as shown:
            return joined(shown, count)


def joined(chunks: Iterable[Samples], count: int) -> Samples:
    """Put chunks one after the other; each is let go as soon as it was copied."""
    whole: dict[str, Arrays] = {}
    start = 0
    for chunk in chunks:
        for part in ("raw", "ready", "label", "target", "anchor"):
            room = whole.setdefault(part, {})
            for name, array in getattr(chunk, part).items():
                _put(room, name, array, start, count)
        start += len(chunk)
    return Samples(**whole)  # type: ignore[arg-type] # labels are int64, forecasts float64


def _put(room: Arrays, name: str, array: NDArray[np.generic], start: int, count: int) -> None:
    text = array.dtype.kind == "U"  # the longest text is known last
    dtype = np.dtype(object) if text else array.dtype
    if name not in room:
        room[name] = np.empty((count, *array.shape[1:]), dtype)
    room[name][start : start + len(array)] = array


def batches(rng: np.random.Generator, count: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield index batches for ever, each sample once an epoch, in a new order every time."""
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]
