"""From readings of an inertial measurement unit to the clip that an encoder takes."""

import math

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import Motion
from edgespark.runtime.signals.recording import LEAST, Recording, clip_seconds, warn
from edgespark.runtime.signals.resample import Doubles, resampled

GREATEST = float(np.finfo(np.float32).max)
STRONGEST = 1000.0
"""No sensor of motion reads more, in metres per second squared or radians per second."""


def prepare_motion(record: Motion, recording: Recording, name: str = "the array") -> Prepared:
    """Return `signal`, float32 [1, channels, samples], at the record's rate.

    Values pass as they are: the public code does not normalise them, and its data (Ego4D, from
    GoPro) are metres per second squared and radians per second. Rates that differ by less than a
    sample over the clip count as equal; others are resampled as `resampled` says. Raises InputError
    where there are fewer than 10 readings or one is no finite number; warns (EdgesparkWarning)
    where the clip was resampled, cut, or padded with zeros, and where a reading is too great to be
    one.
    """
    wanted = clip_seconds(record)
    readings = min(recording.left, math.ceil(wanted * recording.rate - 1e-6))
    if readings < min(LEAST, record.samples):
        raise InputError(
            f"{name}: has {readings} readings in its {min(wanted, _given(recording)):g} s; "
            f"expected {LEAST} or more in a clip of {wanted:g} s"
        )
    _check_values(record, recording, name)
    clip = _clip(record, recording)
    _warn_of_rate(record, recording, name)
    _warn_of_length(record, recording, clip.shape[1], name)
    signal = np.zeros((1, len(record.channels), record.samples), np.float32)
    signal[0, :, : clip.shape[1]] = clip
    return Prepared(arrays={"signal": signal})


def _clip(record: Motion, recording: Recording) -> Doubles:
    first, rate = recording.first, recording.rate
    if _same(record, recording):
        return recording.values[:, first : first + min(recording.left, record.samples)]
    count = min(_available(record, recording), record.samples)
    return resampled(recording.values, rate, record.rate, first, count)


def _same(record: Motion, recording: Recording) -> bool:
    return abs(recording.rate - record.rate) * clip_seconds(record) < 1


def _available(record: Motion, recording: Recording) -> int:
    """Return how many samples the recording gives from the beginning of the clip on."""
    if _same(record, recording):
        return recording.left
    return math.ceil(_given(recording) * record.rate - 1e-6)


def _warn_of_rate(record: Motion, recording: Recording, name: str) -> None:
    if not _same(record, recording):
        warn(
            f"{name}: is at {recording.rate:.6g} Hz; resampled to the {record.rate:g} Hz of the "
            "model"
        )


def _warn_of_length(record: Motion, recording: Recording, found: int, name: str) -> None:
    given, wanted = _given(recording), clip_seconds(record)
    if found < record.samples:
        warn(
            f"{name}: has {given:g} s{' from start on' if recording.chosen else ''}; the model "
            f"takes {wanted:g} s: padded with zeros"
        )
    elif _available(record, recording) > record.samples and not recording.chosen:
        warn(
            f"{name}: has {given:g} s; the model takes {wanted:g} s: cut after the first "
            f"{wanted:g} s (start= chooses others)"
        )


def _check_values(record: Motion, recording: Recording, name: str) -> None:
    values = recording.values
    wrong = ~(np.abs(values) <= GREATEST)
    if wrong.any():
        channel, place = np.argwhere(wrong)[0]
        seconds = (place - recording.first) / recording.rate
        raise InputError(
            f"{name}: {record.channels[channel]} is {values[channel, place]:g} at {seconds:+.3f} s "
            "from the clip's beginning; expected finite numbers: fill in what is missing, or "
            "choose another clip with start="
        )
    channel, place = np.unravel_index(np.abs(values).argmax(), values.shape)
    if abs(values[channel, place]) > STRONGEST:
        warn(
            f"{name}: {record.channels[channel]} reads {values[channel, place]:g}; the model takes "
            "metres per second squared and radians per second: are these raw counts or degrees?"
        )


def _given(recording: Recording) -> float:
    """Return how long the recording is from the clip's beginning on."""
    return recording.left / recording.rate
