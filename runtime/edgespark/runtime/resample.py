"""Area averaging: the value of a cell is the mean of the samples under it, each by its share."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.grid import Window
from edgespark.runtime.memory import zeros

Doubles: TypeAlias = NDArray[np.float64]

LONGEST_SIDE = 1 << 14
"""Samples; the shares of a longer piece would take more memory than the piece."""

AT_A_TIME = 4
"""Cells; measured: fewer take more calls, more multiply more zeros."""


def overlaps(cells: int, samples: int, start: int, stop: int) -> tuple[slice, Doubles]:
    """Return the cells that the samples start…stop touch, and by how much: [touched, stop - start].

    `cells` and `samples` divide the same line evenly; lengths are in samples. In units of
    1 / (cells * samples) of that line every border is a whole number, so the shares are exact.
    """
    first, last = start * cells // samples, -(-stop * cells // samples)
    cell = np.arange(first, last)[:, None] * samples
    sample = np.arange(start, stop) * cells
    common = np.minimum(cell + samples, sample + cells) - np.maximum(cell, sample)
    return slice(first, last), np.maximum(common, 0) / cells


def pieces(
    shape: tuple[int, int], block: tuple[int, int], phase: tuple[int, int], most: int
) -> Iterator[Window]:
    """Cut [rows, columns] along block borders into windows of at most `most` samples.

    `phase` (rows, columns) says how much of the first block lies before the raster's edge. A block
    that is larger is cut too, so that no file decides how much memory is taken.
    """
    width = min(max(most // block[0] // block[1], 1) * block[1], most, LONGEST_SIDE)
    height = max(min(most // min(width, shape[1]), LONGEST_SIDE), 1)
    for top, bottom in _cuts(shape[0], height // block[0] * block[0] or height, phase[0]):
        for left, right in _cuts(shape[1], width, phase[1]):
            yield left, top, right - left, bottom - top


def _cuts(length: int, step: int, phase: int) -> Iterator[tuple[int, int]]:
    borders = [0, *range(step - phase % step, length, step), length]
    yield from pairwise(borders)


class Average:
    """The area averages of a raster [bands, rows, columns] that comes in pieces, in any order.

    `cells` (rows, columns) is what it is brought to, `samples` (rows, columns) what it has; either
    may be the greater.
    """

    def __init__(self, bands: int, cells: tuple[int, int], samples: tuple[int, int]) -> None:
        """Start with nothing seen; DeviceError where so many cells do not fit the memory."""
        self._cells, self._samples = cells, samples
        self._sums: Doubles = zeros((bands, *cells), "float64", "the averaged image")
        self._weights: Doubles = zeros((bands, *cells), "float64", "the averaged image")

    def add(self, window: Window, values: Doubles, valid: NDArray[np.bool_] | None) -> None:
        """Take the values [bands, rows, columns] of a window; those not `valid` must be 0."""
        column, row, width, height = window
        rows, down = overlaps(self._cells[0], self._samples[0], row, row + height)
        columns, across = overlaps(self._cells[1], self._samples[1], column, column + width)
        self._sums[:, rows, columns] += _summed(values, down, across)
        self._weights[:, rows, columns] += (
            np.outer(down.sum(1), across.sum(1))
            if valid is None
            else _summed(valid.astype(np.float64), down, across)
        )

    def means(self) -> Doubles:
        """Return [bands, rows, columns]; NaN where a cell has no valid sample."""
        empty = self._weights == 0
        return np.where(empty, np.nan, self._sums / np.where(empty, 1, self._weights))


def _summed(values: Doubles, down: Doubles, across: Doubles) -> Doubles:
    """Return down @ values @ across.T of each band."""
    rows = np.ascontiguousarray(_banded(down, values).swapaxes(1, 2))
    turned: Doubles = _banded(across, rows).swapaxes(1, 2)
    return turned


def _banded(shares: Doubles, values: Doubles) -> Doubles:
    """Return shares @ values, a few rows of `shares` at a time: most of it is 0.

    Without BLAS, whose threads wait for each other: where the cores are shared with an inference
    engine, that made a product of this size a hundred times slower.
    """
    made = np.empty((len(values), len(shares), values.shape[2]))
    for first in range(0, len(shares), AT_A_TIME):
        few = shares[first : first + AT_A_TIME]
        used = np.flatnonzero(few.any(axis=0))
        span = slice(used[0], used[-1] + 1)
        made[:, first : first + AT_A_TIME] = np.einsum("kr,brc->bkc", few[:, span], values[:, span])
    return made
