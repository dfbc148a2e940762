"""Area averaging against an oracle that repeats samples, and the laws that it keeps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.runtime.resample import Average, overlaps, pieces

Array = NDArray[Any]
sides = st.integers(1, 9)
shapes = st.tuples(sides, sides)
seeds = st.integers(0, 99)


def averaged(
    values: Array, cells: tuple[int, int], valid: Array | None = None, most: int = 1 << 20
) -> Array:
    shape = (values.shape[0], values.shape[1])
    average = Average(1, cells, shape)
    for window in pieces(shape, (2, 3), (1, 2), most):
        part = np.s_[window[1] : window[1] + window[3], window[0] : window[0] + window[2]]
        mask = None if valid is None else valid[None][(..., *part)]
        held = values if valid is None else np.where(valid, values, 0)
        average.add(window, held[None][(..., *part)], mask)
    means: Array = average.means()[0]
    return means


def oracle(values: Array, cells: tuple[int, int], valid: Array) -> Array:
    """Repeat every sample until each cell holds a whole number of them."""
    fine = [
        each.repeat(cells[0], 0)
        .repeat(cells[1], 1)
        .reshape(cells[0], values.shape[0], cells[1], values.shape[1])
        for each in (np.where(valid, values, 0), valid)
    ]
    total, count = (each.sum((1, 3), dtype=float) for each in fine)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def drawn(shape: tuple[int, int], seed: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=shape), draw.random(shape) < draw.random()


@given(shapes, shapes, seeds)
def test_a_cell_is_the_mean_of_the_valid_samples_by_their_shares(
    shape: tuple[int, int], cells: tuple[int, int], seed: int
) -> None:
    values, valid = drawn(shape, seed)
    made = averaged(values, cells, valid)
    np.testing.assert_allclose(made, oracle(values, cells, valid), rtol=1e-9, atol=1e-12)


@given(shapes, shapes, seeds)
def test_the_mean_of_the_whole_is_kept(
    shape: tuple[int, int], cells: tuple[int, int], seed: int
) -> None:
    values, _ = drawn(shape, seed)
    assert averaged(values, cells).mean() == pytest.approx(values.mean(), abs=1e-12)


@given(shapes, seeds)
def test_the_same_size_changes_nothing(shape: tuple[int, int], seed: int) -> None:
    values, _ = drawn(shape, seed)
    np.testing.assert_array_equal(averaged(values, shape), values)


@given(shapes, shapes, seeds)
def test_turning_before_or_after_is_the_same(
    shape: tuple[int, int], cells: tuple[int, int], seed: int
) -> None:
    values, valid = drawn(shape, seed)
    turned = averaged(values.T, cells[::-1], valid.T)
    np.testing.assert_allclose(turned.T, averaged(values, cells, valid), rtol=1e-9, atol=1e-12)


@given(shapes, shapes, st.integers(1, 40), seeds)
def test_pieces_of_any_size_give_the_same(
    shape: tuple[int, int], cells: tuple[int, int], most: int, seed: int
) -> None:
    values, valid = drawn(shape, seed)
    whole, cut = averaged(values, cells, valid), averaged(values, cells, valid, most)
    np.testing.assert_allclose(cut, whole, rtol=1e-9, atol=1e-12)


@given(shapes, shapes, shapes, st.integers(1, 200))
def test_pieces_cover_every_sample_once_and_stay_small(
    shape: tuple[int, int], block: tuple[int, int], phase: tuple[int, int], most: int
) -> None:
    seen = np.zeros(shape, int)
    for column, row, width, height in pieces(shape, block, phase, most):
        assert 0 < width * height <= most
        seen[row : row + height, column : column + width] += 1
    assert (seen == 1).all()


def test_pieces_end_where_blocks_end() -> None:
    windows = list(pieces((10, 10), (4, 4), (1, 3), 16))
    assert {window[0] for window in windows} == {0, 1, 5, 9}
    assert {window[1] for window in windows} == {0, 3, 7}


def test_a_block_larger_than_what_may_be_held_is_cut() -> None:
    windows = list(pieces((5000, 100_000), (5000, 100_000), (0, 0), 1 << 16))
    assert max(window[2] * window[3] for window in windows) <= 1 << 16
    assert sum(window[2] * window[3] for window in windows) == 5000 * 100_000


def test_the_shares_of_a_long_and_narrow_raster_take_little_memory() -> None:
    windows = list(pieces((1 << 20, 1), (1, 1), (0, 0), 1 << 20))
    assert max(window[3] for window in windows) <= 1 << 14


@given(sides, sides)
def test_shares_add_up_to_the_samples_and_to_the_cells(cells: int, samples: int) -> None:
    touched, shares = overlaps(cells, samples, 0, samples)
    assert touched == slice(0, cells)
    np.testing.assert_allclose(shares.sum(0), 1)
    np.testing.assert_allclose(shares.sum(1), samples / cells)
