"""Rows are selected before what computes each row by itself."""

import numpy as np
import onnx
import pytest

from edgespark.engines.passes.early_select import early_select
from tests.engines.typed import Array, graph, normal, run

TEXT = """
g (float[1, n, 16] x, int64[k] select) => (float[1, k, 16] y) {{
    before = Softmax <axis = 1> (x) stream = Add (x, before)
    h = MatMul (stream, w) gate = Sigmoid (h) moved = Mul (h, gate) biased = Add (moved, b)
    normed = LayerNormalization <axis = -1> (biased, gain) out = Add (stream, normed)
    {select} picked = Gather <axis = {axis}> (out, {name}) y = Relu (picked)
}}
"""
WEIGHTS: dict[str, Array] = {
    "w": normal(16, 16),
    "b": normal(16, seed=1),
    "gain": normal(16, seed=2),
    "flat": np.array([-1]),
}


def model(select: str = "", axis: int = 1, name: str = "select") -> onnx.ModelProto:
    text = TEXT.format(select=select, axis=axis, name=name)
    return graph(text, {each: array for each, array in WEIGHTS.items() if each in text})


def kinds(made: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in made.graph.node]


@pytest.mark.parametrize(
    "given",
    [model(), model("index = Reshape (select, flat)", name="index")],
    ids=["plain", "flattened"],
)
def test_all_that_works_row_by_row_comes_after(given: onnx.ModelProto) -> None:
    made = early_select(given, "select")
    assert kinds(made) == [
        *("Gather", "Softmax", "Gather", "Add", "MatMul", "Sigmoid", "Mul", "Add"),
        *("LayerNormalization", "Add", "Relu"),
    ]
    for select in ([3], [0, 4], [2, 2, 1], []):
        fed: dict[str, Array] = {"x": normal(1, 5, 16), "select": np.array(select, np.int64)}
        np.testing.assert_allclose(run(made, fed)["y"], run(given, fed)["y"], atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [model(axis=2), model(select="index = Neg (select)", name="index")],
    ids=["another axis", "another index"],
)
def test_another_gather_stays(given: onnx.ModelProto) -> None:
    assert early_select(given, "select") == given


def test_a_row_that_is_read_elsewhere_too_is_computed_for_all() -> None:
    given = model()
    given.graph.output.append(onnx.ValueInfoProto(name="h"))
    made = early_select(given, "select")
    assert made == given  # what is left behind the product is not worth it


def test_a_selection_of_what_is_given_has_nothing_to_move() -> None:
    text = """g (float[1, n, 16] x, int64[k] select) => (float[1, k, 16] y) {
        y = Gather <axis = 1> (x, select)
    }"""
    assert early_select(graph(text, {}), "select") == graph(text, {})
