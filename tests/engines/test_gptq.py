"""GPTQ: less error of what a matrix gives than plain rounding leaves, and near the least."""

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.engines.forms import COLUMNS
from edgespark.engines.gptq import error, products, rounded, rounder
from edgespark.engines.quantise import Grid, nearest, widened
from edgespark.engines.streamed import How, store
from edgespark.engines.weight_only import Weights
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision
from tests.engines.test_awq import waiting, weights
from tests.engines.typed import Array, normal, run
from tests.engines.weightless import run as run_stored

FOUR = Grid(least=-8, most=7, block=16)
TINY = Grid(least=-2, most=1, block=0)


def moments(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    found: NDArray[np.float64] = wide.T @ wide / len(wide)
    return found


def related(count: int, channels: int, seed: int) -> NDArray[np.float32]:
    """Draw rows whose channels go with each other, as those of a network do."""
    made: NDArray[np.float32] = normal(count, channels // 2, seed=seed) @ normal(
        channels // 2, channels, seed=seed + 1
    ) + 0.1 * normal(count, channels, seed=seed + 2)
    return made


def least(matrix: NDArray[np.float32], scales: Array, grid: Grid, seen: Array) -> Array:
    """Return the least error of each column by any codes with these scales: all are tried."""
    tries = np.array(list(product(range(grid.least, grid.most + 1), repeat=len(matrix))))
    found = []
    for column, scale in zip(matrix.T, scales, strict=True):
        lost = tries * float(scale) - column
        found.append(np.einsum("ti,ij,tj->t", lost, seen, lost).min())
    return np.array(found)


def coarse(matrix: Array, _: Grid) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round onto the four codes of TINY."""
    scales = (np.abs(matrix).max(0) / 2).astype(np.float32)
    codes = np.clip(np.rint(matrix / scales), TINY.least, TINY.most).astype(np.int8)
    return codes, scales


def test_it_comes_near_the_best_of_all_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgespark.engines.gptq.nearest", coarse)
    ratios, plain = [], []
    for seed in range(12):
        rows = related(40, 6, 100 + 3 * seed) + normal(40, 6, seed=seed + 50)
        matrix, seen = normal(6, 4, seed=seed), moments(rows)
        found = rounded(matrix, TINY, seen)
        best = least(matrix, found[1], TINY, seen)
        ratios.append(error(matrix, found, TINY, seen).sum() / best.sum())
        plain.append(error(matrix, coarse(matrix, TINY), TINY, seen).sum() / best.sum())
    assert max(ratios) < 2
    assert float(np.median(ratios)) < 1.2
    assert float(np.median(plain)) > 1.5


@pytest.mark.parametrize("grid", [FOUR, Grid(least=-8, most=7, block=128), COLUMNS])
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_no_column_is_worse_than_rounded_plainly(
    grid: Grid, seed: int, blocks: int, columns: int
) -> None:
    channels = blocks * (grid.block or 48)
    matrix, seen = normal(channels, columns, seed=seed), moments(related(30, channels, seed + 1))
    plain, found = nearest(matrix, grid), rounded(matrix, grid, seen)
    assert (error(matrix, found, grid, seen) <= error(matrix, plain, grid, seen)).all()
    assert found[0].shape == plain[0].shape
    assert found[1].shape == plain[1].shape
    assert found[0].dtype == np.int8
    assert grid.least <= found[0].min() <= found[0].max() <= grid.most


@pytest.mark.parametrize(("grid", "gain"), [(FOUR, 0.5), (COLUMNS, 0.5)])
def test_where_channels_go_together_much_less_error_is_left(grid: Grid, gain: float) -> None:
    matrix, rows = normal(128, 32), related(500, 128, 7)
    fresh = related(500, 128, 7)[::-1]
    found = widened(rounded(matrix, grid, moments(rows)), grid)
    plain = widened(nearest(matrix, grid), grid)
    errors = [np.linalg.norm(fresh @ (each - matrix)) for each in (found, plain)]
    assert errors[0] < gain**0.5 * errors[1]


def test_inputs_that_tell_nothing_of_each_other_change_nothing() -> None:
    matrix = normal(64, 8)
    for seen in (np.eye(64), np.zeros((64, 64)), np.diag(np.arange(64.0))):
        found, plain = rounded(matrix, COLUMNS, seen), nearest(matrix, COLUMNS)
        assert (found[0] == plain[0]).all()
        assert (found[1] == plain[1]).all()


def test_slabs_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, seen = normal(32, 12), moments(related(90, 32, 3))
    whole = rounded(matrix, FOUR, seen)
    monkeypatch.setattr("edgespark.engines.quantise.SLAB", 5 * 32)
    parts = rounded(matrix, FOUR, seen)
    assert (whole[0] == parts[0]).all()
    assert (whole[1] == parts[1]).all()


def test_what_cannot_be_held_is_told_by_its_scale() -> None:
    matrix = normal(16, 3)
    matrix[5, 1] = np.inf
    _, scales = rounded(matrix, FOUR, np.eye(16))
    assert not np.isfinite(scales).all()


def gathered(given: dict[str, Array], folder: Path, x: Array) -> dict[str, Array]:
    model = store(waiting(), given.__getitem__, folder, "seen.data", "fp32")
    onnx.load_external_data_for_model(model, str(folder))
    names = ("normed", "mixed", "out")
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = run(model, {"x": x}, optimised=True)
    return {name: moments(found[name].reshape(len(x), -1)) for name in names}


@pytest.mark.parametrize(("precision", "gain"), [("int4", 0.8), ("int8", 0.85)])
def test_a_graph_of_weights_rounded_so_is_nearer_to_the_float_one(
    precision: Precision, gain: float, tmp_path: Path
) -> None:
    given, x = weights(), related(800, 64, 5)
    fresh = x[400:]
    rounding = rounder(waiting().graph, gathered(given, tmp_path, x[:400]))

    def answer(name: str, how: Precision | How) -> Array:
        model = store(waiting(), given.__getitem__, tmp_path, name, how)
        return run_stored(model, tmp_path, {"x": fresh})

    wanted = answer("wide.data", "fp32")
    made = answer("gptq.data", How(precision=precision, rounding=rounding))
    plain = answer("plain.data", precision)
    assert np.linalg.norm(made - wanted) < gain * np.linalg.norm(plain - wanted)


def test_the_tensors_that_are_wanted_are_named_with_their_channels() -> None:
    found = products(waiting(), "int4", Weights(block=32))
    assert found == {"normed": 64, "mixed": 128, "out": 64}
    assert products(waiting(), "fp32") == {}


def test_moments_that_lack_or_are_of_another_tensor_are_named() -> None:
    matrix = normal(64, 8)
    with pytest.raises(InputError, match="no moments of 'normed'"):
        rounder(waiting().graph, {})("gate.weight")(matrix, FOUR)
    with pytest.raises(InputError, match=r"'normed': got moments \[3, 3\]; .* 64 channels"):
        rounder(waiting().graph, {"normed": np.eye(3)})("gate.weight")(matrix, FOUR)
