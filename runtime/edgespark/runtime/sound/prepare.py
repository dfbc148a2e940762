"""From a recording to the log-mel energies that an encoder of sound takes, as its record says."""

import warnings

import numpy as np

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import Fbank
from edgespark.runtime.sound.fbank import frame_count, frame_sizes, log_mels, samples_in
from edgespark.runtime.sound.recording import Doubles, Recording
from edgespark.runtime.sound.resampling import needed, resampled, resampled_length

GREATEST = 1e30
"""No sample is greater; its energy is still a number."""
LOUD = 2.0
"""Of full scale: decoders overshoot by less; more tells of samples that were not scaled."""
QUIET = 2.0**-15
"""Of full scale: one step of 16 bits; less tells of samples of fewer bits than their type has."""


def prepare_sound(
    record: Fbank, recording: Recording, start: float | None = None, stop: float | None = None
) -> Prepared:
    """Return `fbank`, float32 [1, 1, mels, frames], of the part of a recording that is meant.

    Read, and held in memory, is no more of it than the frames take. Of several channels the first
    is taken. What is missing at the end are zeros, set before the mean and deviation are applied
    (csuhan/OneLLM at 8587a47, data/data_utils.py). That code first removes the mean of the whole,
    which changes nothing: that of each frame is removed anyhow. Raises InputError where the part
    lasts less than a frame, or a sample is no finite number; warns (EdgesparkWarning) of an end
    that is cut off, of zeros that are added, of another rate, of channels that differ, and of
    samples far above full scale, or below a step of it.
    """
    first, last = recording.stretch(start, stop)
    samples = resampled_length(last - first, recording.rate, record.rate)
    if not frame_count(samples, record.rate):
        raise InputError(
            f"{recording.name}: {_part(start, stop)}lasts {_ms(last - first, recording.rate)} ms; "
            f"one frame takes {_ms(frame_sizes(record.rate)[0], record.rate)} ms: give more of it"
        )
    count = min(samples, samples_in(record.frames, record.rate))
    end = first + min(last - first, needed(count, recording.rate, record.rate))
    signal = _first_channel(recording, first, end)
    energies = np.zeros((record.frames, record.mels))
    found = log_mels(
        resampled(signal, recording.rate, record.rate, count), record.rate, record.mels
    )
    energies[: len(found)] = found
    _warn_of_rate(record, recording)
    seconds = (last - first) / recording.rate
    _warn_of_length(record, samples, seconds, f"{recording.name}: {_part(start, stop)}lasts")
    made = ((energies - record.mean) / (2 * record.std)).T.astype(np.float32, order="C")
    return Prepared(arrays={"fbank": made[None, None]})


def _first_channel(recording: Recording, start: int, stop: int) -> Doubles:
    kept, differ, peak = list[Doubles](), False, 0.0
    for piece in recording.pieces(start, stop):
        channel = piece[:, 0].copy()
        wrong = ~(np.abs(channel) <= GREATEST)
        if wrong.any():
            at = int(wrong.argmax())
            seen = start + sum(map(len, kept)) + at
            raise InputError(
                f"{recording.name}: sample {seen}, counted from 0, is {channel[at]:g}; "
                "expected finite numbers"
            )
        differ = differ or bool((piece[:, 1:] != piece[:, :1]).any())
        peak = max(peak, float(np.abs(channel).max()))
        kept.append(channel)
    _warn_of_samples(recording, differ=differ, peak=peak)
    return np.concatenate(kept)


def _warn_of_samples(recording: Recording, *, differ: bool, peak: float) -> None:
    if differ:
        _warn(
            f"{recording.name}: its {recording.channels} channels differ, and the first alone is "
            "taken; mix them to one where all shall count"
        )
    if peak > LOUD:
        _warn(
            f"{recording.name}: its samples reach {peak:g}, full scale is 1; divide them by the "
            "greatest that can be"
        )
    if 0 < peak < QUIET:
        _warn(
            f"{recording.name}: its samples reach {peak:g} of full scale only, less than a step of "
            "16 bits; have they fewer bits than their type?"
        )


def _warn_of_rate(record: Fbank, recording: Recording) -> None:
    if recording.rate == record.rate:
        return
    lacks = f"; it has nothing above {recording.rate / 2:g} Hz"
    _warn(
        f"{recording.name}: is at {recording.rate} Hz; resampled to the {record.rate} Hz of the "
        f"model{lacks if recording.rate < record.rate else ''}"
    )


def _warn_of_length(record: Fbank, samples: int, seconds: float, what: str) -> None:
    found = frame_count(samples, record.rate)
    heard = samples_in(record.frames, record.rate) / record.rate
    if found < record.frames:
        _warn(f"{what} {seconds:.6g} s; the model takes {heard:.6g} s: padded with zeros")
    elif found > record.frames:
        _warn(
            f"{what} {seconds:.6g} s; the model takes the first {heard:.6g} s, and the "
            f"{seconds - heard:.3g} s behind them are cut off: give the part that is meant"
        )


def _part(start: float | None, stop: float | None) -> str:
    return "" if start is None and stop is None else "the part that is meant "


def _ms(samples: int, rate: int) -> str:
    return f"{1000 * samples / rate:.4g}"


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
