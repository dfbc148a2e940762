"""What a tensor held on all samples: gathered in one pass, in memory that does not grow."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.histogram import BINS, Histogram
from edgespark.calibration.reservoir import ROWS, Reservoir
from edgespark.runtime.errors import InputError

Method = Literal["minmax", "average", "percentile", "entropy", "mse"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Statistics:
    """What one tensor held on all samples.

    Per channel there is nothing (channels and means of length 0, rows [0, 0]) where the number of
    channels differed from sample to sample, as the length of a text does.
    """

    count: int
    """Samples seen."""
    low: float
    high: float
    peak: float
    """Greatest magnitude."""
    average: float
    """Mean over the samples of each sample's greatest magnitude."""
    width: float
    """The histogram covers magnitudes in [0, width): the least power of two beyond peak; 0.0 for
    a tensor that was always zero."""
    histogram: NDArray[np.int64]
    """[BINS] counts of magnitudes."""
    channels: NDArray[np.float32]
    """[c] greatest magnitude of each channel."""
    means: NDArray[np.float64]
    """[c] mean of each channel."""
    rows: NDArray[np.float32]
    """[at most ROWS, c] a fair sample of rows, channels last."""
    shape: tuple[int, ...]
    """Of the last sample's tensor."""


class Observer:
    """Gathers the statistics of one tensor, sample by sample.

    Neither order nor number of calls changes low, high, peak, histogram and channels; means differ
    by rounding only. `average` and `count` take each call for one sample. The rows, and the shape,
    depend on the order.
    """

    def __init__(self, axis: int) -> None:
        """Take the axis of the channels: -1 for inputs of MatMul and Gemm, 1 for those of Conv."""
        self._axis = axis
        self._count = 0
        self._low = np.inf
        self._high = -np.inf
        self._peaks = 0.0
        self._shape: tuple[int, ...] = ()
        self._histogram = Histogram()
        self._channels: _Channels | None = None
        self._ragged = False

    def observe(self, array: NDArray[np.floating[Any]]) -> None:
        """Take what the tensor held on one more sample; an array without values changes nothing.

        InputError, with no name in its text, for NaN, infinity, what float32 cannot hold, and an
        array without a channel axis; nothing is taken then.
        """
        floats = _finite(array)
        if not floats.size:
            return
        if not -floats.ndim <= self._axis < floats.ndim:
            raise InputError(f"has shape {list(floats.shape)}; expected an axis {self._axis} in it")
        rows = np.moveaxis(floats, self._axis, -1)
        lows, highs = _extremes(rows)
        low, high = float(lows.min()), float(highs.max())
        peak = max(-low, high)
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._peaks += peak
        self._histogram.add(floats, peak)
        self._observe_channels(rows, np.maximum(-lows, highs))
        self._shape = floats.shape
        self._count += 1

    def finish(self) -> Statistics:
        """Return what was gathered so far; InputError where no sample came."""
        if not self._count:
            raise InputError("no sample reached it: give a set with samples")
        channels = _Channels(0) if self._channels is None else self._channels
        return Statistics(
            count=self._count,
            low=self._low + 0.0,  # -0.0 is 0.0
            high=self._high + 0.0,
            peak=max(-self._low, self._high) + 0.0,
            average=self._peaks / self._count,
            width=self._histogram.width,
            histogram=self._histogram.counts,
            channels=channels.peaks.copy(),
            means=channels.means,
            rows=channels.reservoir.rows,
            shape=self._shape,
        )

    def _observe_channels(self, rows: NDArray[np.float32], peaks: NDArray[np.float32]) -> None:
        if self._channels is None and not self._ragged:
            self._channels = _Channels(rows.shape[-1])
        if self._channels is None or len(self._channels.peaks) != rows.shape[-1]:
            self._channels, self._ragged = None, True
            return
        self._channels.add(rows, peaks)


class _Channels:
    """The running statistics of each channel."""

    def __init__(self, count: int) -> None:
        self.peaks = np.zeros(count, np.float32)
        self.reservoir = Reservoir(count)
        self._sums = np.zeros(count, np.float64)

    @property
    def means(self) -> NDArray[np.float64]:
        return self._sums / max(1, self.reservoir.seen)

    def add(self, rows: NDArray[np.float32], peaks: NDArray[np.float32]) -> None:
        np.maximum(self.peaks, peaks, out=self.peaks)
        self._sums += rows.sum(axis=tuple(range(rows.ndim - 1)), dtype=np.float64)
        self.reservoir.add(rows)


def _finite(array: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the array as float32, contiguous; InputError, with no name in its text, if it cannot.

    What it cannot take: NaN, infinity, values beyond float32, anything but numbers with a point.
    """
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.floating):
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"is {kind}; expected an array of float32")
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(array, np.float32)
    if floats.size and not (np.isfinite(floats.min()) and np.isfinite(floats.max())):
        bad = int(floats.size - np.isfinite(floats).sum())
        raise InputError(
            f"holds NaN or infinity ({bad} of {floats.size} values), and no range can hold those: "
            "look at the sample, and at what the graph makes of it"
        )
    return floats


def _extremes(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axes = tuple(range(rows.ndim - 1))
    return rows.min(axis=axes), rows.max(axis=axes)


__all__ = ["BINS", "ROWS", "Method", "Observer", "Statistics"]
