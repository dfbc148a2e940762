"""Trajectories in memory: what a forecaster is given, and what is refused."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Tracks
from edgespark.runtime.tracks.prepare import prepare_tracks
from edgespark.runtime.tracks.read import read_tracks

RECORD = Tracks(observed=8, predicted=12, step=0.4, agents=4, radius=8.0)
WALK = np.stack([np.arange(8) * 0.5, np.arange(8) ** 2 * 0.1], axis=1)


def made(value: object, record: Tracks = RECORD) -> Prepared:
    return read_tracks(record, value, lambda _: [])


def beside(*offsets: tuple[float, float]) -> NDArray[np.float64]:
    """Return the walk, and others that go at some distance from it."""
    return np.stack([WALK, *(WALK + offset for offset in offsets)])


def test_a_track_is_told_relative_to_its_last_position() -> None:
    prepared = made(WALK)
    track = prepared.arrays["track"]
    assert track.shape == (1, 8, 2)
    assert track.dtype == np.float32
    np.testing.assert_allclose(track[0], WALK - WALK[-1], atol=1e-6)
    assert not track[0, -1].any()


def test_an_agent_alone_is_its_own_only_neighbour() -> None:
    arrays = made(WALK).arrays
    assert arrays["neighbours"].shape == (1, 4, 8, 2)
    assert arrays["neighbours"].dtype == np.float32
    assert arrays["present"].dtype == np.bool_
    assert arrays["present"].tolist() == [[True, False, False, False]]
    np.testing.assert_array_equal(arrays["neighbours"][0, 0], arrays["track"][0])
    assert not arrays["neighbours"][0, 1:].any()


def test_the_nearest_come_first_and_the_far_are_left_out() -> None:
    arrays = made(beside((5, 0), (0, 1), (0, 8.1), (-3, 0), (7, 0))).arrays
    offsets = arrays["neighbours"][0, :, -1]
    np.testing.assert_allclose(offsets, [[0, 0], [0, 1], [-3, 0], [5, 0]], atol=1e-6)
    assert arrays["present"].all()


def test_one_at_the_same_place_never_goes_before_the_agent_itself() -> None:
    other = WALK[::-1] - WALK[0] + WALK[-1]
    arrays = made(np.stack([WALK, other])).arrays
    np.testing.assert_array_equal(arrays["neighbours"][0, 0], arrays["track"][0])


def test_the_radius_itself_is_inside() -> None:
    assert made(beside((8.0, 0))).arrays["present"].sum() == 2


def test_an_agent_of_nothing_but_nan_is_absent() -> None:
    tracks = beside((1, 0), (2, 0))
    tracks[1] = np.nan
    arrays = made(tracks).arrays
    assert arrays["present"].sum() == 2
    np.testing.assert_allclose(arrays["neighbours"][0, 1, -1], [2, 0], atol=1e-6)


def test_what_is_masked_is_absent() -> None:
    tracks = np.ma.MaskedArray(beside((1, 0)), mask=False)
    tracks[1] = np.ma.masked
    assert made(tracks).arrays["present"].sum() == 1


def test_the_anchor_goes_on_with_the_last_velocity_in_the_input_s_coordinates() -> None:
    anchor = made(WALK + 1000).anchor
    assert anchor is not None
    assert anchor.shape == (12, 2)
    assert anchor.dtype == np.float64
    step = WALK[-1] - WALK[-2]
    np.testing.assert_allclose(anchor, 1000 + WALK[-1] + np.arange(1, 13)[:, None] * step)


@settings(max_examples=50)
@given(st.floats(-1e6, 1e6), st.floats(-1e7, 1e7))
def test_a_far_origin_costs_no_precision(east: float, north: float) -> None:
    origin = np.array([east, north])
    near, far = made(beside((1, 2))), made(beside((1, 2)) + origin)
    for name in ("track", "neighbours", "present"):
        np.testing.assert_allclose(far.arrays[name], near.arrays[name], atol=1e-8)
    assert near.anchor is not None
    assert far.anchor is not None
    np.testing.assert_allclose(far.anchor, near.anchor + origin, rtol=1e-13, atol=1e-7)


def test_whole_numbers_are_positions_too() -> None:
    tracks = np.arange(16).reshape(8, 2)
    assert made(tracks).arrays["track"][0, 0].tolist() == [-14, -14]


def broken(change: tuple[Any, ...], value: float) -> NDArray[np.float64]:
    tracks = beside((1, 0))
    tracks[change] = value
    return tracks


REFUSED: dict[str, tuple[object, str]] = {
    "short": (WALK[1:], "has 7 steps; the model was made for 8, 0.4 s apart"),
    "long": (np.zeros((2, 20, 2)), "has 20 steps; .* give the last 8 that were observed"),
    "spatial": (np.zeros((8, 3)), r"has shape \(8, 3\); expected \[8, 2\] or \[agents, 8, 2\]"),
    "flat": (np.zeros(16), r"has shape \(16,\)"),
    "batch": (np.zeros((1, 1, 8, 2)), r"has shape \(1, 1, 8, 2\)"),
    "nobody": (np.zeros((0, 8, 2)), r"has shape \(0, 8, 2\)"),
    "text": (np.full((8, 2), "1"), "holds str.*; expected numbers"),
    "truth": (np.ones((8, 2), bool), "holds bool; expected numbers"),
    "complex": (np.ones((8, 2), complex), "holds complex128"),
    "list": ([[0, 0]] * 8, "expected an array .*, a path or a TrackFile, got list"),
    "nan": (broken((0, 3, 1), np.nan), r"the agent's own track is at \(1.5, nan\) at step 3"),
    "absent": (broken((0,), np.nan), "the agent's own track is at .* at step 0"),
    "infinite": (broken((0, 7, 0), np.inf), r"own track is at \(inf, 4.9\) at step 7"),
    "gap": (broken((1, 2), np.nan), "neighbour 1 .* at step 2.*; one that is absent is NaN at"),
    "far": (broken((1, 2, 0), 1e30), "neighbour 1 .* at step 2.*; expected a finite number of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_trajectory_is_refused(name: str) -> None:
    value, told = REFUSED[name]
    with pytest.raises(InputError, match=told):
        made(value)


def test_prepared_arrays_are_told_by_the_name_that_was_given() -> None:
    with pytest.raises(InputError, match=r"^walk\.npy: has 7 steps"):
        prepare_tracks(RECORD, WALK[1:], "walk.npy")
