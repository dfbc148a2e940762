"""Products of one tensor become one, whatever form their weights have."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgespark.engines.passes.merge_products import merge_products
from edgespark.engines.passes.nbits import nbits
from edgespark.engines.sourced import Sourced, sourced, written
from tests.engines.test_pass_nbits import drawn, scales
from tests.engines.typed import Array, graph, normal, run

WIDE = """
g (float[n, 64] x) => (float[n, 8] a, float[n, 24] b, float[n, 8] c, float[n, 40] d) {
    a = MatMul (x, wa) h = MatMul (x, wb) b = Relu (h) z = Relu (x) c = MatMul (z, wc)
    d = MatMul (x, wd)
}
"""
NARROW = """
g (float[n, 64] x) => (float[n, 8] a, float[n, 24] b, float[n, 40] d) {
    va = DequantizeLinear <axis = 1> (wa, sa) a = MatMul (x, va)
    vb = DequantizeLinear <axis = 1> (wb, sb) b = MatMul (x, vb)
    vd = DequantizeLinear <axis = 1> (wd, sd) d0 = MatMul (x, vd) d = Add (d0, bias)
}
"""
COLUMNS = {"a": 8, "b": 24, "c": 8, "d": 40}


def wide() -> onnx.ModelProto:
    weights: dict[str, Array] = {
        f"w{name}": normal(64, columns, seed=columns) for name, columns in COLUMNS.items()
    }
    return graph(WIDE, weights)


def narrow() -> Sourced:
    weights: dict[str, Array] = {"bias": normal(40)}
    for name in ("a", "b", "d"):
        weights[f"w{name}"] = drawn(8, 64, COLUMNS[name])
        weights[f"s{name}"] = scales(COLUMNS[name])
    return nbits(sourced(graph(NARROW, weights)))


def whole(given: Sourced, path: Path) -> onnx.ModelProto:
    written(given, path)
    return onnx.load(path)


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_float_products_of_one_tensor_are_one(tmp_path: Path) -> None:
    made = whole(merge_products(sourced(wide())), tmp_path / "g.onnx")
    assert kinds(made) == ["MatMul", "Split", "Relu", "Relu", "MatMul"]
    fed = {"x": normal(3, 64)}
    got, wanted = run(made, fed), run(wide(), fed)
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 5])
def test_products_in_blocks_are_one_where_they_have_no_bias(rows: int, tmp_path: Path) -> None:
    before = whole(narrow(), tmp_path / "before.onnx")
    made = whole(merge_products(narrow()), tmp_path / "made.onnx")
    assert kinds(made) == ["MatMulNBits", "Split", "MatMulNBits"]
    fed = {"x": normal(rows, 64)}
    got, wanted = run(made, fed), run(before, fed)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-4)


def test_what_has_nothing_to_be_merged_with_stays() -> None:
    once = merge_products(sourced(wide()))
    assert merge_products(once).model == once.model


def test_weights_that_are_no_matrices_stay() -> None:
    text = """g (float[2, 3, 8] x) => (float[2, 3, 4] a, float[2, 3, 4] b) {
        a = MatMul (x, w) b = MatMul (x, v)
    }"""
    model = graph(text, {"w": normal(2, 8, 4), "v": normal(2, 8, 4, seed=1)})
    assert kinds(merge_products(sourced(model)).model) == ["MatMul", "MatMul"]
