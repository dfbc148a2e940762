"""Resampling of a signal by any ratio of whole rates, with a windowed sinc."""

from functools import cache
from math import ceil, gcd, pi
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Doubles: TypeAlias = NDArray[np.float64]

ATTENUATION = 90.0
"""Decibels by which what the lower of both rates cannot hold is weakened; so is the ripple."""
PASSED = 0.96
"""Share of half the lower rate that passes; what lies above it fades, and is gone at 1."""
BETA = 0.1102 * (ATTENUATION - 8.7)
STEPS = 1 << 13
"""Of half a window, in its table: the line between two is within 1e-6."""


def resampled(signal: Doubles, source: int, target: int, count: int) -> Doubles:
    """Return the first `count` samples at `target` hertz of a signal at `source`, float64 [count].

    Sample n is the signal at n / `target` seconds, convolved with a sinc under a Kaiser window
    (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3): linear phase, no delay. Around
    the signal are zeros. Each of the different positions between two samples has its own taps
    (polyphase). Equal rates change nothing.
    """
    if source == target:
        return signal[:count]
    up, down = _ratio(source, target)
    half = ceil(_width(source, target))
    padded = np.zeros((count - 1) * down // up + 2 * half + 1)
    inside = signal[: len(padded) - half]
    padded[half : half + len(inside)] = inside
    windows = sliding_window_view(padded, 2 * half + 1)
    made = np.empty(count)
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    for first in range(min(up, count)):
        base, phase = divmod(first * down, up)
        rows = len(made[first::up])
        taps = _taps(offsets - phase / up, source, target)
        made[first::up] = windows[base::down][:rows] @ taps
    return made


def resampled_length(samples: int, source: int, target: int) -> int:
    """Return how many samples at the rate `target` begin within so many at `source`."""
    return -(-samples * target // source)


def needed(count: int, source: int, target: int) -> int:
    """Return how many samples at `source` the first `count` at `target` are made of, at most."""
    if source == target:
        return count
    up, down = _ratio(source, target)
    return (count - 1) * down // up + ceil(_width(source, target)) + 1


def _ratio(source: int, target: int) -> tuple[int, int]:
    common = gcd(source, target)
    return target // common, source // common


def _width(source: int, target: int) -> float:
    """Return half the length of the taps, in samples at `source`, by Kaiser's formula."""
    fade = (1 - PASSED) * min(source, target) / 2 / source  # cycles per sample
    return (ATTENUATION - 7.95) / (2.285 * 2 * pi * fade) / 2


def _taps(times: Doubles, source: int, target: int) -> Doubles:
    """Return the low-pass filter's response at times in samples at `source`."""
    cutoff = (1 + PASSED) / 2 * min(source, target) / source
    ends = np.abs(times) * (STEPS / _width(source, target))
    window = np.interp(ends, np.arange(STEPS + 1), _half_window(), right=0)
    taps: Doubles = cutoff * np.sinc(cutoff * times) * window
    return taps


@cache
def _half_window() -> Doubles:
    """Return the Kaiser window from its middle to its end, [STEPS + 1]."""
    window: Doubles = np.kaiser(2 * STEPS + 1, BETA)[STEPS:]
    return window
