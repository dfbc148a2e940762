"""A histogram of magnitudes that is filled from a stream, and whose range grows with it.

The width rule: the histogram covers [0, width), and width is the least power of two that is greater
than the greatest magnitude. When a greater one comes, width doubles as often as that takes, and
neighbouring bins become one. Scaling by a power of two is exact in binary arithmetic, so the counts
are those that all values together would have given, in whatever pieces and order they came.
"""

import math

import numpy as np
from numpy.typing import NDArray

BINS = 2048
BLOCK = 1 << 16
"""Values that are counted at a time: what is made on the way then stays in the cache."""
LEAST_EXPONENT = -110
"""Width is at least 2**-110: below, the factor that takes a value to its bin is no float32."""


class Histogram:
    """Counts of magnitudes in BINS bins of equal width."""

    def __init__(self) -> None:
        """Begin with no value, and a width of zero."""
        self._counts = np.zeros(BINS, np.int64)
        self._exponent: int | None = None  # None while all values were zero

    @property
    def width(self) -> float:
        """What the histogram covers; 0.0 while nothing but zeros came, and they lie in bin 0."""
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The counts so far, [BINS], as a copy."""
        counted: NDArray[np.int64] = self._counts.copy()
        return counted

    def add(self, values: NDArray[np.float32], peak: float) -> None:
        """Count finite values of any shape, of which `peak` is the greatest magnitude."""
        if peak > 0:
            self._widen(max(math.frexp(peak)[1], LEAST_EXPONENT))
        if self._exponent is None:
            self._counts[0] += values.size
            return
        factor = np.float32(math.ldexp(BINS, -self._exponent))
        flat = values.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            block = np.abs(flat[start : start + BLOCK])
            block *= factor
            self._counts += np.bincount(block.astype(np.intp), minlength=BINS)

    def _widen(self, exponent: int) -> None:
        if self._exponent is None:
            self._exponent = exponent
        doublings = exponent - self._exponent
        if doublings <= 0:
            return
        merged = min(1 << min(doublings, BINS.bit_length()), BINS)
        sums = self._counts.reshape(-1, merged).sum(axis=1)
        self._counts = np.pad(sums, (0, BINS - len(sums)))
        self._exponent = exponent
