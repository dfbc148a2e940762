"""Sound in memory, and arrays in .npy files."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.arrays import array_from_value
from edgespark.runtime.errors import InputError
from edgespark.runtime.sound.recording import Doubles, Recording, checked_rate, scaled

EXPECTED = "an array [samples] or [channels, samples], a Sound, a path or a SoundFile"


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Sound in memory: `samples` is an array [samples] or [channels, samples], at `rate` hertz.

    Real numbers are full scale at 1; int8, int16, int32 and uint8 (whose silence is 128) at the
    full scale of their type. Raises InputError where a value cannot be one for any sound.
    """

    samples: Any
    _: KW_ONLY
    rate: int

    def __post_init__(self) -> None:
        """Refuse a rate that no sound has."""
        object.__setattr__(self, "rate", checked_rate(self.rate))


def recording_from_sound(sound: Sound) -> Recording:
    """Return sound in memory as a recording; InputError where its samples cannot be such."""
    samples = array_from_value(sound.samples, EXPECTED)
    return recording_from_array(samples, sound.rate, f"array {samples.shape}")


def recording_from_array(samples: NDArray[Any], rate: int, name: str) -> Recording:
    """Return an array [samples] or [channels, samples] as a recording.

    InputError where its shape or type is another, or something of it is masked.
    """
    channels = samples[None] if samples.ndim == 1 else samples
    if channels.ndim != 2 or 1 <= channels.shape[1] < channels.shape[0]:  # noqa: PLR2004 axes
        raise InputError(f"{name}: has another shape than [samples] or [channels, samples]")
    if isinstance(samples, np.ma.MaskedArray) and np.ma.getmaskarray(samples).any():
        raise InputError(f"{name}: has masked samples; give a part without them")
    try:
        scaled(channels[:, :0])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error

    def read(start: int, stop: int) -> Doubles:
        return scaled(np.asarray(channels[:, start:stop]).T)

    return Recording(
        name=name, rate=rate, channels=len(channels), length=channels.shape[1], read=read
    )
