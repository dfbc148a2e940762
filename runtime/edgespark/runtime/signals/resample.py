"""Bandlimited resampling, as torchaudio.functional.resample does it."""

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

WIDTH, ROLLOFF = 6, 0.99
"""Zero crossings of the filter to each side, and its cutoff as a share of the lower Nyquist rate:
torchaudio's defaults, which OneLLM's data code leaves as they are."""


def reach(rate: float, target: float) -> int:
    """Return how many values at `rate` before and after a moment the filter looks at."""
    return math.ceil(WIDTH / ROLLOFF * max(1, rate / target))


def resampled(values: Doubles, rate: float, target: float, first: int, count: int) -> Doubles:
    """Return `count` values of each signal at `target` hertz: [signals, count], float64.

    `values` is [signals, n] at `rate` hertz; what is given begins at its place `first`. The kernel
    is a sinc under a Hann window (J. O. Smith, Digital Audio Resampling); beyond its ends a signal
    counts as 0. Rates need not be whole.
    """
    base = ROLLOFF * min(rate, target)
    half = reach(rate, target)
    middle = first + np.arange(count)[:, None] * (rate / target)
    places = np.floor(middle).astype(np.int64) + np.arange(-half, half + 2)
    delay = (places - middle) * (base / rate)
    kernel = np.sinc(delay) * np.cos(delay * (np.pi / (2 * WIDTH))) ** 2 * (base / rate)
    kernel[(np.abs(delay) >= WIDTH) | (places < 0) | (places >= values.shape[1])] = 0
    np.clip(places, 0, values.shape[1] - 1, out=places)
    return np.stack([(each[places] * kernel).sum(axis=1) for each in values])
