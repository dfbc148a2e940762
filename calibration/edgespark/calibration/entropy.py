"""The threshold at which the quantised distribution tells least apart from the true one."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 128
"""Magnitudes that a signed 8-bit number has."""
SMOOTHING = 1e-4
"""Share of its mass that the quantised distribution gets where it would have none."""
EQUAL = 1e-9
"""Nats by which divergences may differ by the rounding of sums alone."""


def threshold(counts: NDArray[np.int64]) -> int:
    """Return at how many bins to clip: those that give the least divergence, the most of equals.

    `counts` [n] is a histogram of magnitudes whose last bin is not empty. Entropy calibration of
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017: the true distribution P is the first i
    bins with all that is clipped in the last of them; Q are the same bins, without what is clipped,
    brought to LEVELS levels, each spread evenly over those of its bins that are not empty; i is
    tried from LEVELS on, and the least KL(P‖Q) wins.

    Where the talk leaves it open: bin 0 counts no more than bin 1, as the exact zeros of a ReLU
    are exact in every grid (NVIDIA's pytorch-quantization sets it to bin 1). Where the last bin was
    empty before the clipped came into it, Q gets SMOOTHING there, as KL would be infinite.
    """
    bins = len(counts)
    if bins <= LEVELS:
        return bins
    weights = counts.astype(np.float64)
    weights[0] = min(weights[0], weights[1])
    tried = np.arange(bins, LEVELS - 1, -1)
    found = divergences(weights, tried)
    return int(tried[np.argmax(found <= found.min() + EQUAL)])


def divergences(weights: NDArray[np.float64], tried: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return KL(P‖Q) in nats for each number of bins that is tried, infinite where Q is empty.

    Both sums go over levels, not bins, since Q is constant on the bins of a level:
    N·KL = Σ p·log p - Σ (level's mass)·log(level's height) - clipped·log(height at the end), and
    the logarithms of the two totals.
    """
    kept = np.concatenate([[0.0], np.cumsum(weights)])[tried]
    total = weights.sum()
    clipped = total - kept
    last = weights[tried - 1]
    own = np.concatenate([[0.0], np.cumsum(_xlogx(weights))])[tried]
    own += _xlogx(last + clipped) - _xlogx(last)
    lent = np.where((last == 0) & (clipped > 0), SMOOTHING * kept, 0.0)
    cross, height = _cross(weights, tried)
    height = np.where(lent > 0, lent, height)
    cross += clipped * _log(height)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (own - cross) / total + np.log((kept + lent) / total)
    return np.where(kept > 0, found, np.inf)


def _cross(
    weights: NDArray[np.float64], tried: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Σ mass·log(height) over the levels of each try, and the last level's height."""
    edges = -(-np.arange(LEVELS + 1) * tried[:, None] // LEVELS)
    mass = np.diff(np.concatenate([[0.0], np.cumsum(weights)])[edges], axis=1)
    filled = np.diff(np.concatenate([[0], np.cumsum(weights > 0)])[edges], axis=1)
    heights = mass / np.maximum(filled, 1)
    return (mass * _log(heights)).sum(axis=1), heights[:, -1]


def _xlogx(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * _log(values)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm, and 0.0 for what is not positive: its weight is zero there too."""
    return np.log(np.where(values > 0, values, 1.0))
