"""Antialiased bicubic resizing of 8-bit pictures, bit for bit as Pillow's (libImaging/Resample.c).

A cell is a weighted sum of the samples around it, under a cubic (a = -1/2) that is stretched where
the picture shrinks. Weights are whole multiples of 2^-22. Columns come first, then rows, and what
is between the two is rounded to 8 bits. Sums of such whole numbers are exact in float64, so their
order does not matter. Only the window that is asked for is made, from pieces of the source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Window
from edgespark.runtime.resample import Doubles

Bytes: TypeAlias = NDArray[np.uint8]

CUBIC = -0.5
SUPPORT = 2.0
"""How far the cubic reaches to each side, in samples, or in cells where those are wider."""
ONE = float(1 << 22)
"""The weight 1: 32 bits, less 8 of the sample and 2 for sums beyond their range."""
AT_A_TIME = 4
"""Cells whose samples mostly overlap: fewer take more calls, more multiply more zeros."""
MOST_SAMPLES = 1 << 22
"""How many bytes of the source, or of what is between the two passes, are held at a time."""
TALLEST = 1 << 12
MOST_SHARES = 1 << 23
"""Of all cells of a line: that of a picture of two million pixels, or a shorter one's part."""


class Source(Protocol):
    """A picture of `rows` x `columns` pixels that is read piece by piece."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def columns(self) -> int:
        """How many columns there are."""

    def read(self, window: Window) -> Bytes:
        """Return the samples of a window, uint8 [bands, rows, columns]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resized:
    """A source brought to another size: each window of it is made when it is read."""

    source: Source
    rows: int
    columns: int

    def read(self, window: Window) -> Bytes:
        """Return the samples of a window, uint8 [bands, rows, columns]."""
        column, row, width, height = window
        across = weigh(self.source.columns, self.columns, column, column + width)
        down = weigh(self.source.rows, self.rows, row, row + height)
        parts = [_summed(self._between(across, part), part, 1) for part in _groups(down, width)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _between(self, across: "Weights", down: "Weights") -> Bytes:
        """Return the rows that `down` takes, of which the columns are done."""
        left, right = across.span
        top, bottom = down.span
        step = min(max(MOST_SAMPLES // (3 * (right - left)), 1), TALLEST)
        windows = [
            (left, first, right - left, min(step, bottom - first))
            for first in range(top, bottom, step)
        ]
        made = [
            _summed(np.ascontiguousarray(self.source.read(window)), across, 2) for window in windows
        ]
        return made[0] if len(made) == 1 else np.concatenate(made, axis=1)


def resized(source: Source, rows: int, columns: int) -> Source:
    """Return the source in that size: itself, where it has it."""
    if (source.rows, source.columns) == (rows, columns):
        return source
    return Resized(source=source, rows=rows, columns=columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Which samples make up each cell: from `first` on, those before `end`.

    `shares` is float64 [cells, most samples of a cell], whole numbers in units of 1 / ONE, 0 from
    `end` on. `scale` is how many samples wide a cell is.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    shares: Doubles
    scale: float

    @property
    def span(self) -> tuple[int, int]:
        """The first sample that any cell takes, and the one behind the last."""
        return int(self.first[0]), int(self.end[-1])

    def part(self, start: int, stop: int) -> "Weights":
        """Return the weights of some of the cells."""
        cells = slice(start, stop)
        return Weights(
            first=self.first[cells],
            end=self.end[cells],
            shares=self.shares[cells],
            scale=self.scale,
        )


def weigh(samples: int, cells: int, start: int, stop: int) -> Weights:
    """Return the weights of the cells start…stop of a line of `cells` that has `samples`.

    Raises InputError where so many samples make up the cells that the weights take too much memory.
    """
    scale = samples / cells
    stretch = max(scale, 1.0)
    centre = (np.arange(start, stop) + 0.5) * scale
    first = np.maximum((centre - SUPPORT * stretch + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + SUPPORT * stretch + 0.5).astype(np.int64), samples)
    most = int((end - first).max())
    if most * len(first) > MOST_SHARES:
        raise InputError(
            f"a side of {samples} pixels is too long to be brought to {cells}: give a part of the "
            "picture, as with window="
        )
    place = first[:, None] + np.arange(most)
    shares = _cubic((place - centre[:, None] + 0.5) * (1.0 / stretch))
    shares[place >= end[:, None]] = 0.0
    shares /= np.add.accumulate(shares, axis=1)[:, -1:]  # one after the other, as a loop adds
    whole = np.trunc(shares * ONE + np.copysign(0.5, shares))
    return Weights(first=first, end=end, shares=whole, scale=scale)


def _cubic(x: Doubles) -> Doubles:
    x = np.abs(x)
    near = ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    made: Doubles = np.where(x < 1, near, np.where(x < SUPPORT, far, 0.0))
    return made


def _groups(down: Weights, width: int) -> Iterator[Weights]:
    """Cut the rows so that what they are made of is no more than MOST_SAMPLES."""
    spare = MOST_SAMPLES // (3 * width) - down.shares.shape[1]
    step = max(int(spare / down.scale), 1)
    for start in range(0, len(down.first), step):
        yield down.part(start, start + step)


FORMULAS = {1: "kr,brc->bkc", 2: "kc,brc->brk"}


def _summed(image: Bytes, weights: Weights, axis: int) -> Bytes:
    """Return the image with the cells of that axis, which begins where the weights do.

    Without BLAS, as area averages are: its threads wait for those of an inference engine.
    """
    shape = list(image.shape)
    shape[axis] = len(weights.first)
    made = np.empty(shape, np.uint8)
    step = max(AT_A_TIME, int(AT_A_TIME / weights.scale))
    for start in range(0, shape[axis], step):
        few = weights.part(start, start + step)
        left, right = few.span
        place = few.first[:, None] - left + np.arange(few.shares.shape[1])
        shares = np.zeros((len(few.first), int(place[-1, -1]) + 1))
        np.put_along_axis(shares, place, few.shares, axis=1)
        samples = _cut(image, axis, left - weights.span[0], right - weights.span[0])
        sums = np.einsum(FORMULAS[axis], shares[:, : right - left], samples.astype(np.float64))
        _cut(made, axis, start, start + step)[...] = _rounded(sums)
    return made


def _cut(image: Bytes, axis: int, start: int, stop: int) -> Bytes:
    return image[:, start:stop] if axis == 1 else image[:, :, start:stop]


def _rounded(sums: Doubles) -> Doubles:
    """Return whole numbers of 0…255; a half goes up."""
    return np.clip(np.floor((sums + ONE / 2) / ONE), 0, 255)
