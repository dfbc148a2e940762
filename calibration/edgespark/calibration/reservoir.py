"""A fair sample of rows from a stream whose length is not known, the same at every run."""

import numpy as np
from numpy.typing import NDArray

ROWS = 256
SEED = 5
UNIT = 2.0**-53


class Reservoir:
    """Keeps ROWS rows of all that came, each with equal chance.

    Algorithm R of Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985), section 2. What
    is kept depends on a row's place in the stream alone, not on the pieces that it came in. The
    numbers are drawn from PCG64's raw stream, which NumPy never changes (NEP 19).
    """

    def __init__(self, channels: int) -> None:
        """Begin empty, for rows of so many channels."""
        self._rows = np.zeros((ROWS, channels), np.float32)
        self._bits = np.random.PCG64(SEED)
        self.seen = 0

    @property
    def rows(self) -> NDArray[np.float32]:
        """The rows that are kept now, [at most ROWS, channels], as a copy."""
        kept: NDArray[np.float32] = self._rows[: self.seen].copy()
        return kept

    def add(self, array: NDArray[np.float32]) -> None:
        """Let the rows of an array [..., channels] pass, in C order."""
        leading = array.shape[:-1]
        count = int(np.prod(leading))
        places = np.arange(self.seen, self.seen + count)
        chances = (self._bits.random_raw(count) >> np.uint64(11)) * UNIT
        slots = np.where(places < ROWS, places, (chances * (places + 1)).astype(np.int64))
        kept = np.flatnonzero(slots < ROWS)
        self._rows[slots[kept]] = array[np.unravel_index(kept, leading)]
        self.seen += count
