"""The threshold at which rounding and clipping to INT8 cost least, in the mean of squares."""

import numpy as np
from numpy.typing import NDArray

STEPS = 127
"""Steps of the symmetric INT8 grid on either side of zero."""
TOGETHER = 16
"""Thresholds whose costs are worked out at a time: what is made on the way stays in the cache."""
EQUAL = 1 + 1e-9
"""Costs that differ by less than this factor do so by the rounding of sums alone."""


def threshold(counts: NDArray[np.int64]) -> int:
    """Return at how many bins to clip: those with the least E[(x - Q(x))²], the most of equals.

    `counts` [n] is a histogram of magnitudes whose last bin is not empty, with values spread evenly
    within a bin. Q clips at the threshold and rounds to the nearest of STEPS steps. Every edge of a
    bin is tried. The step of least L2 error as in W. Sung, S. Shin and K. Hwang, "Resiliency of
    Deep Neural Networks under Quantization" (2015), found by full search.
    """
    costs = (clipped(counts) + rounded(counts))[:0:-1]
    return len(counts) - int(np.argmax(costs <= costs.min() * EQUAL))


def clipped(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Σ (x - T)² over the values beyond T, for each edge T = 0 … n, in bins squared."""
    weights = counts.astype(np.float64)
    places = np.arange(len(counts)) + 0.5
    squares = places**2 + 1 / 12  # the mean of x² over a bin
    mass, first, second = map(_beyond, (weights, weights * places, weights * squares))
    edges = np.arange(len(counts) + 1.0)
    return np.maximum(second - 2 * edges * first + edges**2 * mass, 0.0)


def rounded(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Σ (x - Q(x))² over the values within T, for each edge T = 0 … n, in bins squared.

    The squared distance to the nearest multiple of a step s, integrated from 0 to x, is
    s³·(m + 4·d³) / 12 with m = round(x / s) and d = x / s - m. A sum over bins of count times the
    integral's increase is a sum over edges of integral times the count's decrease.
    """
    bins = len(counts)
    weights = counts.astype(np.float64)
    decrease = -np.diff(weights, prepend=0.0)
    found = np.zeros(bins + 1)
    for first in range(1, bins + 1, TOGETHER):
        tried = np.arange(first, min(first + TOGETHER, bins + 1))
        integrals = _integrals(tried, tried[-1])
        integrals *= np.arange(tried[-1]) < tried[:, None]
        sums = integrals @ decrease[: tried[-1]] + STEPS * weights[tried - 1]
        found[tried] = sums * (tried / STEPS) ** 3 / 12
    return found


def _integrals(tried: NDArray[np.int64], edges: int) -> NDArray[np.float64]:
    """Return m + 4·d³ at the first edges, for each threshold: [thresholds, edges]."""
    steps = np.multiply.outer(STEPS / tried, np.arange(float(edges)))
    whole = np.rint(steps)
    steps -= whole
    cubes: NDArray[np.float64] = steps * steps
    cubes *= steps
    cubes *= 4
    cubes += whole
    return cubes


def _beyond(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum from each place to the end, and 0.0 for the end itself."""
    return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])
