"""From positions [agents, observed, 2] to what a trajectory encoder takes, as its record says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Tracks

AXES, RANK = 2, 3
FARTHEST = 1e15
"""Metres; a coordinate beyond it is none, and its steps would be lost in float64."""
Doubles = NDArray[np.float64]


def prepare_tracks(record: Tracks, value: NDArray[Any], name: str = "the array") -> Prepared:
    """Return `track`, `neighbours` and `present` of an agent and those around it.

    `value` is [observed, 2] of the agent alone, or [agents, observed, 2] with the agent itself
    first, x and y in metres, any origin; an agent of nothing but NaN is absent. The anchor is the
    last position, moved on by the last step 1 to `predicted` times: float64 [predicted, 2] in the
    input's coordinates. Differences are taken in float64 and rounded to float32 afterwards, so a
    far origin (UTM) costs nothing. Raises InputError for another shape or type, for a coordinate
    that is no finite number, and for an agent that is absent at some steps only.
    """
    tracks = _checked(record, value, name)
    own = tracks[0]
    relative = tracks - own[-1]
    near = nearest(relative[:, -1], record)
    neighbours = np.zeros((record.agents, record.observed, AXES), np.float32)
    neighbours[: len(near)] = relative[near]
    arrays = {
        "track": relative[None, 0].astype(np.float32),
        "neighbours": neighbours[None],
        "present": (np.arange(record.agents) < len(near))[None],
    }
    return Prepared(arrays=arrays, anchor=ahead(own, record.predicted))


def ahead(track: Doubles, steps: int) -> Doubles:
    """Say where the last velocity of a track [observed, 2] leads: [steps, 2]."""
    count = np.arange(1, steps + 1)[:, None]
    return np.asarray(track[-1] + count * (track[-1] - track[-2]))


def nearest(last: Doubles, record: Tracks) -> NDArray[np.intp]:
    """Choose whom the encoder sees, by offsets [agents, 2] at the last step: the agent first."""
    distance = np.hypot(last[:, 0], last[:, 1])
    distance[0] = -1.0  # the agent itself, whoever stands in the same place
    order = np.argsort(distance, kind="stable")[: record.agents]
    return order[distance[order] <= record.radius]  # that of an absent agent is NaN


def _checked(record: Tracks, value: NDArray[Any], name: str) -> Doubles:
    shape = f"[{record.observed}, 2] or [agents, {record.observed}, 2]"
    if value.dtype.kind not in "iuf":
        raise InputError(f"{name}: holds {value.dtype.name}; expected numbers {shape}")
    tracks = value[None] if value.ndim == RANK - 1 else value
    if tracks.ndim != RANK or tracks.shape[2] != AXES or not len(tracks):
        raise InputError(f"{name}: has shape {value.shape}; expected {shape}, x and y in metres")
    if tracks.shape[1] != record.observed:
        raise InputError(
            f"{name}: has {tracks.shape[1]} steps; the model was made for {record.observed}, "
            f"{record.step:g} s apart: give the last {record.observed} that were observed"
        )
    tracks = tracks.astype(np.float64)
    _check_values(tracks, name)
    return tracks


def _check_values(tracks: Doubles, name: str) -> None:
    missing = np.asarray(np.isnan(tracks).any(axis=2))
    present = ~np.asarray(np.isnan(tracks).all(axis=(1, 2)))
    present[0] = True
    with np.errstate(invalid="ignore"):
        far = np.asarray((np.abs(tracks) > FARTHEST).any(axis=2))
    wrong = far | (missing & present[:, None])
    if not wrong.any():
        return
    agent, step = np.argwhere(wrong)[0]
    who = f"neighbour {agent}" if agent else "the agent's own track"
    x, y = tracks[agent, step]
    absent = "; one that is absent is NaN at every step" if agent and missing[agent, step] else ""
    raise InputError(
        f"{name}: {who} is at ({x:g}, {y:g}) at step {step}, counted from 0; expected a finite "
        f"number of metres{absent}"
    )
