"""Random probes for models whose weights come without samples: shapes and ids are right."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from edgespark.runtime.preprocessing import (
    FIRST,
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Tracks,
)
from edgespark.runtime.starts import starts

COUNT = 5
DAYS = 7
Drawn = tuple[Tensor, ...]


def drawn(record: Preprocessing, seed: int = 0) -> Drawn:
    """Draw five prepared samples of a sensor: [5, …] each, as the record's ports say.

    Measured values are standard normal, ids are among the record's, times are times. A pure
    function of its arguments; a text has no such samples (KeyError).
    """
    return KINDS[type(record)](record, torch.Generator().manual_seed(seed))


def _normal(record: Preprocessing, generator: Generator) -> Drawn:
    return tuple(
        torch.randn(COUNT, *(axis.high for axis in port.axes[1:]), generator=generator)
        for port in starts(record)
    )


def _cells(record: Table, generator: Generator) -> Drawn:
    vocabulary = FIRST + sum(column.ids for column in record.columns)
    size = (COUNT, record.rows, len(record.columns))
    return (torch.randint(0, vocabulary, size, generator=generator),)


def _tracks(record: Tracks, generator: Generator) -> Drawn:
    steps = torch.randn(COUNT, record.agents, record.observed, 2, generator=generator)
    neighbours = steps.cumsum(2)
    present = torch.rand(COUNT, record.agents, generator=generator) > 1 / 2
    present[:, 0] = True
    return neighbours[:, 0].clone(), neighbours * present[..., None, None], present


def _series(record: Series, generator: Generator) -> Drawn:
    size = (COUNT, record.steps, len(record.nodes))
    values = torch.randn(size, generator=generator)
    times = torch.rand(size, generator=generator)
    days = torch.randint(0, DAYS, size, generator=generator)
    return (torch.stack((values, times, days.float()), -1),)


KINDS: dict[type[Preprocessing], Callable[..., Drawn]] = {
    Imagery: _normal,
    Frames: _normal,
    Points: _normal,
    Table: _cells,
    Tracks: _tracks,
    Series: _series,
}
