"""Symmetric weight quantisation in numpy, for matrices of any size: a few rows at a time.

Matrices come as the graph has them, [in, out], as views of whatever layout they lie in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Codes = tuple[NDArray[np.int8], Floats]
"""Codes [in, out], and scales: [in / block, out], or [out] of a whole column."""

SLAB = 1 << 20  # numbers that are worked on at once, of which some copies are made
LARGEST = 127  # of the symmetric int8 grid
LEAST, MOST = -8, 7  # of int4
# A block's peak falls on one of these places of the int4 grid, whichever leaves the least squared
# error: 7 cuts nothing off, 10 cuts off most. With the best step for each, and the code -8 in use,
# the error of normal weights in blocks of 128 is 14 % less than with peak / 7; of 256, 17 %.
PEAKS = (7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0)
NOTHING = 1e-30  # smaller weights are zero: what they are divided by would be lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The codes of a matrix: `least` to `most`, with one scale for `block` rows of each column.

    A block of 0 is the whole column. Where scales are `signed`, they are of either sign.
    """

    least: int
    most: int
    block: int = 0
    signed: bool = False


Rounding = Callable[[Array, Grid], Codes]
"""Rounds a matrix [in, out]; what a scale cannot hold is NaN or infinite there."""


def nearest(matrix: Array, grid: Grid) -> Codes:
    """Round each weight of [in, out] to the nearest code, by scales that suit the weights alone."""
    if grid.block:
        return block_wise(matrix, grid.block, signed=grid.signed)
    return per_channel(matrix)


def widened(found: Codes, grid: Grid) -> Floats:
    """Return the weights that codes and scales stand for."""
    codes, scales = found
    wide: Floats = codes * (scales.repeat(grid.block, 0) if grid.block else scales)
    return wide


def slabs(rows: Array) -> Iterator[tuple[slice, Floats]]:
    """Cut [out, in] into stretches of rows, float32 each."""
    step = max(1, SLAB // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        where = slice(start, start + step)
        yield where, rows[where].astype(np.float32, copy=False)


def laid(array: Array, dtype: DTypeLike) -> Array:
    """Copy an array of any layout into a contiguous one; what dtype cannot hold is infinite."""
    with np.errstate(over="ignore"):
        if array.ndim != 2 or array.flags.c_contiguous:  # noqa: PLR2004 a matrix
            return np.ascontiguousarray(array, dtype)
        made = np.empty(array.shape, dtype)
        for where, slab in slabs(array.T):
            made[:, where] = slab.T
    return made


def per_channel(matrix: Array) -> Codes:
    """Quantise [in, out] to int8 with one scale per output channel: codes and scales [out].

    A scale is NaN or infinite where the column holds such a value.
    """
    codes = np.empty(matrix.shape, np.int8)
    scales = np.empty(matrix.shape[1], np.float32)
    for where, slab in slabs(matrix.T):
        scale = _filled(np.abs(slab).max(1) / np.float32(LARGEST))
        scales[where] = scale
        with np.errstate(invalid="ignore"):
            codes[:, where] = np.rint(slab / scale[:, None]).astype(np.int8).T
    return codes, scales


def block_wise(matrix: Array, block: int, *, signed: bool = False) -> Codes:
    """Quantise [in, out] to int4 in blocks along `in`: codes, and scales [in / block, out].

    `in` is a multiple of the block; scales are positive unless `signed`. A scale is NaN or infinite
    where its block holds such a value.
    """
    codes = np.empty(matrix.shape, np.int8)
    scales = np.empty((matrix.shape[0] // block, matrix.shape[1]), np.float32)
    for where, slab in slabs(matrix.T):
        found, scale = closest(slab.reshape(len(slab), -1, block), signed=signed)
        codes[:, where] = found.reshape(slab.shape).T
        scales[:, where] = scale.T
    return codes, scales


def packed(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Pack int4 codes as ONNX does: two to a byte in row-major order, the first in the low half."""
    flat = codes.reshape(-1).view(np.uint8)
    low, high = flat[0::2] & np.uint8(15), flat[1::2] << np.uint8(4)
    low[: len(high)] |= high
    return low


def closest(blocks: Floats, *, signed: bool = False) -> Codes:
    """Quantise each block [rows, blocks, block] to int4 with the step of the least squared error.

    Gives codes as blocks are, and scales [rows, blocks], positive unless `signed`: then the peak
    may lie at -8, whatever its sign, and nothing need be cut off.

    For given codes q the best step is Σwq / Σq²; it takes (Σwq)² / Σq² off the error Σw².
    """
    peak = _filled(np.abs(blocks).max(2))
    gain = np.full(peak.shape, -1, np.float32)
    codes = np.empty(blocks.shape, np.int8)
    scales = peak.copy()
    with np.errstate(invalid="ignore", over="ignore"):
        for place in (*PEAKS, *(-each for each in PEAKS if signed)):
            q = np.rint(blocks * (np.float32(place) / peak)[:, :, None])
            np.clip(q, LEAST, MOST, out=q)
            dot, square = (np.einsum("rbk,rbk->rb", q, each) for each in (blocks, q))
            step = dot / np.maximum(square, 1)
            better = step * dot > gain
            np.copyto(gain, step * dot, where=better)
            np.copyto(scales, step, where=better)
            np.copyto(codes, q, where=better[:, :, None], casting="unsafe")
    return codes, _filled(scales)


def _filled(scales: Floats) -> Floats:
    """Let the scale of weights that are all zero, or next to it, be one."""
    return np.where(np.abs(scales) < NOTHING, np.float32(1), scales)
