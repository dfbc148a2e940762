"""From what a tensor held to the range that INT8 shall cover: its peak; one step is peak / 127."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration import entropy as by_entropy
from edgespark.calibration import mse as by_mse
from edgespark.calibration.checks import problems
from edgespark.calibration.histogram import BINS
from edgespark.calibration.statistics import Method, Statistics
from edgespark.runtime.errors import InputError
from edgespark.runtime.wording import near

SHARE = 0.9999
"""Share of the magnitudes that the percentile keeps whole."""


def minmax(statistics: Statistics) -> float:
    """Return the greatest magnitude of all: nothing is ever clipped.

    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
    Only Inference" (2018), section 3, for the symmetric grid.
    """
    return statistics.peak


def average(statistics: Statistics) -> float:
    """Return the moving average of each sample's greatest magnitude.

    The cumulative one: each sample weighs the same, so that order changes nothing. The exponential
    one of Jacob et al. (2018), section 3.1, forgets the weights of earlier steps of training; here
    the graph stands still, and there is nothing to forget.
    """
    return statistics.average


def percentile(statistics: Statistics) -> float:
    """Return the magnitude below which 99.99 % of the values lie, up to the edge of its bin.

    H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical
    Evaluation" (2020), whose percentile calibration it is. Under 10 000 values it is the
    greatest magnitude. Exact zeros count as values.
    """
    counted = np.cumsum(statistics.histogram)
    needed = np.ceil(SHARE * float(counted[-1]))
    return _edge(statistics, int(np.searchsorted(counted, needed)) + 1)


def entropy(statistics: Statistics) -> float:
    """Return the threshold of the least Kullback-Leibler divergence (Migacz, GTC 2017)."""
    return _edge(statistics, by_entropy.threshold(_filled(statistics)))


def mse(statistics: Statistics) -> float:
    """Return the threshold of the least mean squared error of rounding and clipping to INT8."""
    return _edge(statistics, by_mse.threshold(_filled(statistics)))


METHODS: Mapping[Method, Callable[[Statistics], float]] = {
    "minmax": minmax,
    "average": average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
"""Each takes the sound statistics of a tensor that was not always zero."""


def peak_of(statistics: Statistics, method: Method) -> float:
    """Return the range that a tensor gets by a method: 0 < peak ≤ statistics.peak.

    0.0 for a tensor that was always zero. InputError, with no name of a tensor in its text, for
    statistics that no tensor can have, and for an unknown method.
    """
    if method not in METHODS:
        raise InputError(
            f"no method {method!r}{near(method, METHODS)}; there are: {', '.join(METHODS)}"
        )
    wrong = problems(statistics)
    if wrong:
        raise InputError("; ".join(wrong))
    return METHODS[method](statistics) if statistics.peak else 0.0


def _filled(statistics: Statistics) -> NDArray[np.int64]:
    """Return the histogram up to its last bin that is not empty."""
    return statistics.histogram[: int(np.flatnonzero(statistics.histogram)[-1]) + 1]


def _edge(statistics: Statistics, bins: int) -> float:
    return min(bins * statistics.width / BINS, statistics.peak)
