"""Norms become one operator each, and make the sum that they read."""

import numpy as np
import onnx
import pytest

from edgespark.engines.passes.fused_norms import fused_norms, fused_sums
from edgespark.engines.passes.fused_silu import fused_silu
from tests.engines.typed import Array, graph, normal, run

NORM = """
g (float[1, n, 32] x, float[1, n, 32] y) => (float[1, n, 32] out, float[1, n, 32] sum) {{
    s = Add (x, y) {square} mean = ReduceMean <keepdims = 1> (squared, {axes})
    more = Add (mean, epsilon) root = Sqrt (more) by = Reciprocal (root)
    scaled = Mul (s, by) out = Mul ({gained}) sum = Relu (s)
}}
"""
SQUARES = {"Pow": "squared = Pow (s, two)", "Mul": "squared = Mul (s, s)"}
LAYER = """
g (float[1, n, 32] x, float[1, n, 32] y) => (float[1, n, 32] out, float[1, n, 32] sum) {
    s = Add (x, y) out = LayerNormalization <axis = -1, epsilon = 0.01> (s, gain, offset)
    sum = Relu (s)
}
"""
FED = {"x": normal(1, 5, 32), "y": normal(1, 5, 32, seed=1)}
WEIGHTS: dict[str, Array] = {
    "two": np.array(2, np.float32),
    "last": np.array([-1]),
    "first": np.array([1]),
    "epsilon": np.array(0.01, np.float32),
    "gain": normal(32, seed=2),
    "offset": normal(32, seed=3),
}


def made_of(text: str) -> onnx.ModelProto:
    return graph(text, {name: array for name, array in WEIGHTS.items() if name in text})


def norm(square: str = "Pow", axes: str = "last", gained: str = "gain, scaled") -> onnx.ModelProto:
    return made_of(NORM.format(square=SQUARES[square], axes=axes, gained=gained))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same(model: onnx.ModelProto, other: onnx.ModelProto) -> None:
    wanted = run(model, FED)
    for name, array in run(other, FED).items():
        np.testing.assert_allclose(array, wanted[name], atol=1e-5)


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("gained", ["gain, scaled", "scaled, gain"])
def test_a_norm_and_the_sum_before_it_are_one(square: str, gained: str) -> None:
    model = norm(square, gained=gained)
    one = fused_norms(model)
    assert kinds(one) == ["Add", "SimplifiedLayerNormalization", "Relu"]
    same(model, one)
    two = fused_sums(one)
    assert kinds(two) == ["SkipSimplifiedLayerNormalization", "Relu"]
    assert two.graph.node[0].output[3] == "s"
    same(model, two)


def test_a_layer_norm_makes_its_sum_too() -> None:
    model = made_of(LAYER)
    made = fused_sums(model)
    assert kinds(made) == ["SkipLayerNormalization", "Relu"]
    same(model, made)


def test_a_mean_over_another_axis_is_no_norm() -> None:
    assert kinds(fused_norms(norm(axes="first"))) == kinds(norm())


def test_a_sum_that_is_given_out_is_made_as_before() -> None:
    model = norm()
    model.graph.output[1].name = "s"
    del model.graph.node[-1]
    made = fused_sums(fused_norms(model))
    assert kinds(made) == ["Add", "SimplifiedLayerNormalization"]


def test_a_sum_with_a_constant_is_made_as_before() -> None:
    model = made_of(LAYER.replace("Add (x, y)", "Add (x, gain)"))
    assert kinds(fused_sums(model)) == ["Add", "LayerNormalization", "Relu"]


def test_a_sum_that_two_norms_read_is_made_as_before() -> None:
    text = LAYER.replace("sum = Relu (s)", "sum = LayerNormalization <axis = -1> (s, gain)")
    assert kinds(fused_sums(made_of(text))) == ["Add", *["LayerNormalization"] * 2]


def test_silu_is_one_operator() -> None:
    text = """g (float[1, n, 32] x, float[1, n, 32] y) => (float[1, n, 32] a, float[1, n, 32] b) {
        s = Sigmoid (x) a = Mul (s, x) t = Sigmoid (y) b = Mul (t, x)
    }"""
    made = fused_silu(graph(text, {}))
    assert kinds(made) == ["QuickGelu", "Sigmoid", "Mul"]
    same(graph(text, {}), made)


def test_a_graph_without_norms_or_silu_stays_as_it_is() -> None:
    text = "g (float[1, n, 32] x) => (float[1, n, 32] y) { y = Relu (x) }"
    for each in (fused_norms, fused_sums, fused_silu):
        assert each(graph(text, {})) == graph(text, {})
