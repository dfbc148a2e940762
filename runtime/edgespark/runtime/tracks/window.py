"""The steps that a model sees, cut out of a recording and brought to its times."""

import warnings
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.preprocessing import Tracks
from edgespark.runtime.tracks.geodesy import metres_from_degrees
from edgespark.runtime.tracks.recording import Recording, Survey, chosen, survey
from edgespark.runtime.wording import listed, short

TOLERANCE = 0.01
"""Of a step, that times may be off."""
MISSING = 2
"""Steps from one fix to the next where one between them is missing."""
FIX = 3
"""Numbers of one: time, x, y."""
MOST_FIXES = 1 << 20
"""Fixes near the steps that are meant; 65536 agents with 16 each, or 24 MiB."""
Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The times that are meant, all in the recording's unit; the longest gap that may be filled."""

    times: Doubles
    step: float
    gap: float

    @property
    def slack(self) -> float:
        """How far a time may be off."""
        return TOLERANCE * self.step

    def resampled(self, fixes: Doubles) -> tuple[Doubles, NDArray[np.bool_], NDArray[np.bool_]]:
        """Interpolate fixes [n, 3] of ascending time, x, y at the times.

        Returns positions [observed, 2], which of them are known, and which lie between two fixes.
        """
        moments = fixes[:, 0]
        place = np.clip(np.searchsorted(moments, self.times), 1, max(len(moments) - 1, 1))
        before, after = moments[place - 1], moments[np.minimum(place, len(moments) - 1)]
        exact = np.minimum(abs(self.times - before), abs(after - self.times)) <= self.slack
        inside = (before <= self.times) & (self.times <= after)
        known = exact | (inside & (after - before <= self.gap))
        columns = [np.interp(self.times, moments, fixes[:, axis]) for axis in (1, 2)]
        return np.stack(columns, axis=1), known, known & ~exact


def window_from_recording(
    record: Tracks, recording: Recording, agent: str | None, at: float | None, fps: float | None
) -> Doubles:
    """Return [agents, observed, 2] in metres, the agent that is meant first.

    The last step is at the time `at`. Times between fixes are interpolated, with a warning, where
    not more than one fix is missing; a neighbour that is not seen at all the steps is left out, as
    it is in the data that such models learn from. Degrees become metres east and north of the
    agent's last fix. The recording is gone over twice and never held as a whole. Raises InputError
    where the agent or the time is not there, or not seen long enough.
    """
    found = survey(recording)
    who, end = chosen(recording, found, agent, at)
    step = _step(record, recording, found, fps)
    window = Window(
        times=end - step * np.arange(record.observed - 1, -1, -1, dtype=np.float64),
        step=step,
        gap=MISSING * max(step, found.every) + TOLERANCE * step,
    )
    _check_rate(recording, found, window)
    fixes = _collected(recording, window)
    if who not in fixes:
        raise InputError(f"{recording.name}: agent {short(who)} is not seen near {end:.10g}")
    if recording.geographic:
        fixes = _in_metres(fixes, who, end)
    return _stacked(recording, found, window, fixes, who)


def _step(record: Tracks, recording: Recording, found: Survey, fps: float | None) -> float:
    """Return how many of the recording's units a step of the record takes."""
    if recording.unit == "s":
        return record.step
    if fps is not None:
        return record.step * fps
    _warn(
        f"{recording.name}: counts frames and does not tell how many there are in a second; the "
        f"commonest step, {found.every:g} frames, is taken for {record.step:g} s: say fps= if it "
        "is not"
    )
    return found.every


def _check_rate(recording: Recording, found: Survey, window: Window) -> None:
    every, step = f"{found.every:g} {recording.unit}", f"{window.step:g} {recording.unit}"
    if MISSING * found.every > window.times[-1] - window.times[0]:
        raise InputError(
            f"{recording.name}: positions come every {every}, the model's every {step}: too few "
            "to tell a track from"
        )
    if abs(found.every - window.step) > window.slack:
        _warn(
            f"{recording.name}: positions come every {every}; the tracks are resampled to every "
            f"{step} between them, on straight lines"
        )


def _collected(recording: Recording, window: Window) -> dict[str, Doubles]:
    """Keep the fixes [n, 3] of each agent near the window: time, x, y."""
    begin, end = window.times[0] - window.gap, window.times[-1] + window.gap
    kept: dict[str, array[float]] = {}
    count = 0
    for _, (who, time, x, y) in recording.fixes():
        if begin <= time <= end:
            kept.setdefault(who, array("d")).extend((time, x, y))
            count += 1
        if count > MOST_FIXES:
            raise InputError(
                f"{recording.name}: has more than {MOST_FIXES} positions from {begin:.10g} to "
                f"{end:.10g}: thin them out"
            )
    return {who: np.array(fixes).reshape(-1, FIX) for who, fixes in kept.items()}


def _in_metres(fixes: dict[str, Doubles], who: str, end: float) -> dict[str, Doubles]:
    own = fixes[who]
    origin = own[np.abs(own[:, 0] - end).argmin(), 1:]
    return {
        each: np.column_stack([some[:, 0], metres_from_degrees(some[:, 1:], origin)])
        for each, some in fixes.items()
    }


def _stacked(
    recording: Recording, found: Survey, window: Window, fixes: dict[str, Doubles], who: str
) -> Doubles:
    own, known, between = window.resampled(fixes.pop(who))
    if not known.all():
        raise InputError(f"{recording.name}: agent {short(who)} {_lack(found, window, known, who)}")
    rows, filled = [own], [who] if between.any() else []
    for other, some in fixes.items():
        track, known, between = window.resampled(some)
        if known.all():
            rows.append(track)
            filled += [other] if between.any() else []
    if filled and abs(found.every - window.step) <= window.slack:
        _warn(
            f"{recording.name}: positions of agent {listed(filled)} are missing at some "
            "steps, and interpolated"
        )
    return np.stack(rows)


def _lack(found: Survey, window: Window, known: NDArray[np.bool_], who: str) -> str:
    times, steps = window.times, len(window.times)
    if times[0] < found.first[who] - window.slack:
        return (
            f"is seen from {found.first[who]:.10g} on, at {np.count_nonzero(known)} of the "
            f"{steps} steps up to {times[-1]:.10g} only; the model needs all, from "
            f"{times[0]:.10g} on"
        )
    return (
        f"is not seen near {times[~known][0]:.10g}: more than one position is missing of the "
        f"{steps} steps of {window.step:g} from {times[0]:.10g} to {times[-1]:.10g}"
    )


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
