"""What an observer gathers depends on the values alone, not on their order or their pieces."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edgespark.calibration.checks import problems
from edgespark.calibration.reservoir import Reservoir
from edgespark.calibration.statistics import BINS, ROWS, Observer, Statistics
from edgespark.runtime.errors import InputError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SAMPLES = st.integers(1, 4).flatmap(
    lambda c: st.lists(
        st.integers(1, 5).flatmap(lambda n: arrays.arrays(np.float32, (n, c), elements=FLOATS)),
        min_size=1,
        max_size=5,
    )
)


def observed(samples: Sequence[NDArray[np.floating[Any]]], axis: int = -1) -> Statistics:
    observer = Observer(axis)
    for sample in samples:
        observer.observe(sample)
    return observer.finish()


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same(one: Statistics, other: Statistics) -> None:
    for name in ("low", "high", "peak", "width"):
        assert getattr(one, name) == getattr(other, name)
    assert np.array_equal(one.histogram, other.histogram)
    assert np.array_equal(one.channels, other.channels)
    scale = np.maximum(one.channels, 1e-30)
    assert np.allclose(one.means / scale, other.means / scale, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_samples_changes_nothing(
    samples: list[NDArray[np.float32]], shuffled: random.Random
) -> None:
    moved = list(samples)
    shuffled.shuffle(moved)
    one, other = observed(samples), observed(moved)
    same(one, other)
    assert one.count == other.count
    assert math.isclose(one.average, other.average, rel_tol=1e-12)


@settings(deadline=None, max_examples=60)
@given(SAMPLES)
def test_the_pieces_in_which_values_come_change_nothing(samples: list[NDArray[np.float32]]) -> None:
    whole = np.concatenate(samples)
    one, other = observed(samples), observed([whole])
    same(one, other)
    assert np.array_equal(one.rows, other.rows)


@settings(deadline=None, max_examples=60)
@given(SAMPLES)
def test_what_is_gathered_is_what_the_values_are(samples: list[NDArray[np.float32]]) -> None:
    whole = np.concatenate(samples)
    found = observed(samples)
    assert (found.low, found.high) == (whole.min(), whole.max())
    assert found.peak == np.abs(whole).max()
    assert found.count == len(samples)
    assert found.average == pytest.approx(np.mean([float(np.abs(s).max()) for s in samples]))
    assert np.array_equal(found.channels, np.abs(whole).max(axis=0))
    assert found.shape == samples[-1].shape
    assert np.array_equal(found.rows, whole[:ROWS])
    assert not problems(found)


@settings(deadline=None, max_examples=60)
@given(SAMPLES)
def test_each_value_is_counted_in_the_bin_where_it_lies(
    samples: list[NDArray[np.float32]],
) -> None:
    found = observed(samples)
    magnitudes = np.abs(np.concatenate(samples)).astype(np.float64).ravel()
    if not found.peak:
        assert found.width == 0
        assert found.histogram[0] == len(magnitudes) == found.histogram.sum()
        return
    assert found.width / 2 <= found.peak < found.width or found.width == 2.0**-110
    assert math.frexp(found.width)[0] == 0.5  # a power of two
    bins = np.floor(magnitudes / found.width * BINS).astype(int)
    assert np.array_equal(found.histogram, np.bincount(bins, minlength=BINS))


@pytest.mark.parametrize("peak", [2.0**-149, 2.0**-126, 1.0, 2.0**127, float(np.finfo("f4").max)])
def test_the_ends_of_what_float32_holds_have_a_histogram(peak: float) -> None:
    found = observed([np.array([[peak, 0.0, -peak / 2]], np.float32)])
    assert found.histogram.sum() == 3
    assert not problems(found)


def test_a_peak_that_is_far_beyond_the_first_leaves_those_in_the_first_bin() -> None:
    found = observed([drawn(4, 3), np.full((1, 3), 1e30, np.float32)])
    assert found.histogram[0] == 12
    assert found.histogram.sum() == 15
    assert not problems(found)


@pytest.mark.parametrize("axis", [1, -3])
def test_channels_are_taken_along_the_axis(axis: int) -> None:
    samples = [drawn(2, 3, 4, 5, seed=k) for k in range(3)]
    found = observed(samples, axis)
    whole = np.moveaxis(np.stack(samples), 2, -1).reshape(-1, 3)
    assert np.array_equal(found.channels, np.abs(whole).max(axis=0))
    assert found.means == pytest.approx(whole.mean(axis=0, dtype=np.float64), abs=1e-12)
    assert np.array_equal(found.rows, whole[: 3 * 2 * 4 * 5][:ROWS])


def test_an_array_that_does_not_lie_in_one_piece_counts_as_any_other() -> None:
    sample = drawn(6, 8)
    same(observed([sample.T]), observed([sample.T.copy()]))
    same(observed([sample[::2, ::-1]]), observed([sample[::2, ::-1].copy()]))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_count_as_float32(dtype: str) -> None:
    sample = drawn(6, 8).astype(dtype)
    same(observed([sample]), observed([sample.astype(np.float32)]))


def test_what_is_observed_is_not_kept_and_not_changed() -> None:
    observer, sample = Observer(-1), drawn(6, 8)
    observer.observe(sample)
    sample[:] = 1e9
    made = observer.finish()
    assert made.peak < 10
    assert np.abs(made.rows).max() < 10
    observer.observe(sample)
    assert made.histogram.sum() == 48  # what was finished stays as it was


def test_a_tensor_that_is_always_zero_has_no_width() -> None:
    found = observed([np.zeros((2, 3), np.float32), -np.zeros((2, 3), np.float32)])
    assert (found.peak, found.average, found.width) == (0, 0, 0)
    assert found.histogram[0] == found.histogram.sum() == 12
    assert not problems(found)
    assert str(found.low) == "0.0"


def test_zeros_before_the_first_other_value_are_not_lost() -> None:
    found = observed([np.zeros((2, 3), np.float32), np.full((1, 3), 5.0, np.float32)])
    assert found.histogram[0] == 6
    assert found.width == 8


def test_an_array_without_values_changes_nothing() -> None:
    same(observed([drawn(2, 3), np.zeros((0, 3), np.float32)]), observed([drawn(2, 3)]))
    with pytest.raises(InputError, match="no sample"):
        observed([np.zeros((0, 3), np.float32)])


@pytest.mark.parametrize("order", [1, -1])
def test_channels_that_differ_from_sample_to_sample_are_left_out(order: int) -> None:
    found = observed([drawn(2, 3), drawn(2, 4), drawn(2, 3)][::order])
    assert (len(found.channels), len(found.means), found.rows.shape) == (0, 0, (0, 0))
    assert found.count == 3
    assert found.histogram.sum() == 20
    assert not problems(found)


def test_no_sample_is_an_error() -> None:
    with pytest.raises(InputError, match="no sample"):
        Observer(-1).finish()


BAD: dict[str, tuple[Any, str]] = {
    "NaN": (np.array([[1, math.nan]], np.float32), "NaN or infinity .1 of 2"),
    "infinity": (np.array([[1, math.inf]], np.float32), "NaN or infinity"),
    "less than nothing": (np.array([[1, -math.inf]], np.float32), "NaN or infinity"),
    "beyond float32": (np.array([[1, 1e300]]), "NaN or infinity"),
    "whole numbers": (np.array([[1, 2]]), "is int64; expected"),
    "truths": (np.array([[True]]), "is bool; expected"),
    "a list": ([[1.0]], "is list; expected"),
    "no such axis": (np.array([1.0], np.float32), "expected an axis"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_range_can_be_taken_from_is_an_error_and_leaves_no_trace(case: str) -> None:
    array, text = BAD[case]
    observer = Observer(1)
    observer.observe(drawn(2, 3))
    with pytest.raises(InputError, match=text):
        observer.observe(array)
    same(observer.finish(), observed([drawn(2, 3)]))


def test_rows_are_rows_of_the_samples_and_the_same_at_every_run() -> None:
    samples = [drawn(50, 3, seed=k) for k in range(20)]
    found, again = observed(samples), observed(samples)
    assert found.rows.shape == (ROWS, 3)
    assert np.array_equal(found.rows, again.rows)
    there = {row.tobytes() for sample in samples for row in sample}
    assert len({row.tobytes() for row in found.rows} & there) == ROWS


def test_every_row_is_kept_with_the_same_chance() -> None:
    rounds, rows = 64, 32 * ROWS
    counts = np.zeros(32)
    one = Reservoir(1)
    one.add(np.repeat(np.arange(32, dtype=np.float32), ROWS)[:, None])
    # other places for the same draw: the chance of a place is that of all values moved through it
    for turn in range(rounds):
        moved = Reservoir(1)
        values = np.roll(np.repeat(np.arange(32, dtype=np.float32), ROWS), turn * rows // rounds)
        moved.add(values[:, None])
        counts += np.bincount(moved.rows[:, 0].astype(int), minlength=32)
    share = np.bincount(one.rows[:, 0].astype(int), minlength=32)
    assert abs(share - ROWS / 32).max() < 6 * math.sqrt(ROWS / 32)
    assert abs(counts / counts.sum() - 1 / 32).max() < 0.01
