"""From the scores of a head to values in the task's unit, relative to where the input ended."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime.errors import InputError
from edgespark.runtime.forecasts import forecast
from edgespark.runtime.manifest import Head

HEAD = Head(
    part="walk",
    task="regression",
    prompt="",
    shape=(2, 2),
    scale=0.5,
    unit="m",
    anchored=True,
)
SCORES = np.array([1, -2, 3, 4], np.float32)
ANCHOR = np.array([[448262.125, 5411932.0625], [448263.0, 5411933.0]])


def test_a_forecast_is_its_anchor_and_the_scaled_scores_in_the_shape_of_the_head() -> None:
    made = forecast(HEAD, SCORES, ANCHOR)
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made, ANCHOR + np.array([[0.5, -1], [1.5, 2]]))


def test_a_head_without_a_shape_gives_a_row_of_values() -> None:
    plain = replace(HEAD, shape=(), anchored=False)
    assert forecast(plain, SCORES, None).tolist() == [0.5, -1, 1.5, 2]


def test_a_head_that_is_not_anchored_does_not_look_at_the_anchor() -> None:
    free = replace(HEAD, anchored=False)
    assert forecast(free, SCORES, ANCHOR).tolist() == forecast(free, SCORES, None).tolist()


def test_scores_are_not_changed() -> None:
    scores = SCORES.copy()
    forecast(HEAD, scores, ANCHOR)
    assert (scores == SCORES).all()


@pytest.mark.parametrize(
    ("anchor", "said"),
    [
        (None, r"has no anchor; .* one of shape \[2, 2\]"),
        (np.zeros((1, 2)), r"has an anchor of shape \[1, 2\]; .* one of shape \[2, 2\]"),
        (np.zeros(()), r"has an anchor of shape \[\]"),
    ],
)
def test_an_anchor_that_is_missing_or_of_another_shape_is_never_made_up(
    anchor: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        forecast(HEAD, SCORES, anchor)


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_a_moved_anchor_moves_the_forecast_as_far(x: int, y: int) -> None:
    still = forecast(HEAD, SCORES, np.zeros((2, 2)))
    moved = forecast(HEAD, SCORES, np.full((2, 2), (x, y), np.float64))
    np.testing.assert_array_equal(moved - still, np.full((2, 2), (x, y)))
