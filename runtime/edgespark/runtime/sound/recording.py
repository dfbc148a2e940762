"""A recording of which any stretch can be read: what every source of sound is made into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.errors import InputError

Doubles: TypeAlias = NDArray[np.float64]

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Hertz: below telephones, above hydrophones."""
MOST_CHANNELS = 1024
AT_A_TIME = 1 << 20
"""Samples of all channels that are read in one piece."""
CLOSE = 0.001
"""Seconds that a stop may lie beyond the end: numbers with decimals are rounded."""
FULL_SCALE = {
    "int8": (0, 1 << 7),
    "uint8": (1 << 7, 1 << 7),  # 128 is silence, as in WAV files
    "int16": (0, 1 << 15),
    "int32": (0, 1 << 31),
    "float16": (0, 1),
    "float32": (0, 1),
    "float64": (0, 1),
}
"""A type of samples -> the value of silence, and how far full scale is from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Sound at `rate` hertz, `length` samples of each of its channels.

    `read` gives the samples from one to another, float64 [samples, channels], full scale 1; where
    there are fewer, InputError. Raises InputError for what no recording has.
    """

    name: str
    rate: int
    channels: int
    length: int
    read: Callable[[int, int], Doubles]

    def __post_init__(self) -> None:
        """Refuse a recording of nothing, and sizes that no sound has."""
        checked_rate(self.rate, f"{self.name}: ")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise InputError(
                f"{self.name}: has {self.channels} channels; expected 1 to {MOST_CHANNELS}"
            )
        if self.length < 1:
            raise InputError(f"{self.name}: holds no samples")

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.length / self.rate

    def pieces(self, start: int, stop: int) -> Iterator[Doubles]:
        """Read a stretch piece by piece, each [samples, channels]."""
        step = max(1, AT_A_TIME // self.channels)
        for first in range(start, stop, step):
            yield self.read(first, min(first + step, stop))

    def stretch(self, start: float | None, stop: float | None) -> tuple[int, int]:
        """Return the samples from `start` to `stop` seconds; None is the beginning, the end.

        Raises InputError where the recording does not reach so far.
        """
        if start is not None and start >= self.seconds:
            raise self._beyond("start", start)
        if stop is not None and stop > self.seconds + CLOSE:
            raise self._beyond("stop", stop)
        last = self.length if stop is None else min(round(stop * self.rate), self.length)
        return round((start or 0) * self.rate), last

    def _beyond(self, name: str, value: float) -> InputError:
        return InputError(
            f"{self.name}: {name}={value:g} is beyond its end; it lasts {self.seconds:g} s"
        )


def checked_rate(rate: float, where: str = "") -> int:
    """Return a rate in hertz as an int; InputError where it is no whole number, or is absurd."""
    if not is_number(rate) or rate // 1 != rate or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InputError(
            f"{where}rate must be a whole number of hertz, {LOWEST_RATE} to {HIGHEST_RATE}, "
            f"got {rate!r}"
        )
    return int(rate)


def check_span(start: float | None, stop: float | None) -> None:
    """Refuse a start and a stop in seconds that no recording could have: InputError."""
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and not (is_number(value) and 0 <= value < inf):
            raise InputError(f"{name} must be a number of seconds, 0 or more, got {value!r}")
    if stop is not None and stop <= (start or 0):
        raise InputError(f"stop={stop} must be greater than start={start or 0}")


def scaled(samples: NDArray[Any]) -> Doubles:
    """Return samples as float64, full scale 1; InputError for a type that has no full scale."""
    name = samples.dtype.name
    if name not in FULL_SCALE:
        raise InputError(
            f"holds {name}; expected {', '.join(FULL_SCALE)}: whole numbers up to the full scale "
            "of their type, or real numbers up to 1"
        )
    silence, full = FULL_SCALE[name]
    return (samples.astype(np.float64) - silence) / full
