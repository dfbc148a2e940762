"""Float16 graphs: what computes in float16 and what does not, and what a device would give."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgespark.engines.fp16 import halved
from edgespark.engines.graphs import check
from edgespark.engines.passes.half_between import half_between
from edgespark.engines.passes.half_products import half_products
from edgespark.runtime.errors import InputError
from tests.engines.typed import Array, computed_in, graph, half, halves, node_by_node, normal, run

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

BLOCK = """g (float[batch, 5, 8] x) => (float[batch, 5, 8] y) {
    gain = Identity (gain0)
    normed = LayerNormalization (x, gain0, shift)
    up0 = MatMul (normed, w1)
    up = Add (up0, b1)
    scaled = Div (up, root)
    erf = Erf (scaled)
    more = Add (erf, one)
    halved = Mul (up, more)
    acted = Mul (halved, point5)
    down0 = MatMul (acted, w2)
    down = Add (down0, b2)
    stream = Add (x, down)
    normed2 = LayerNormalization (stream, gain0, shift)
    key = MatMul (normed2, w3)
    turned = Transpose <perm = [0, 2, 1]> (key)
    scores = MatMul (normed2, turned)
    weights = Softmax (scores)
    mixed = MatMul (weights, key)
    y = Add (stream, mixed)
}"""


def block() -> onnx.ModelProto:
    """Make a transformer's block: an MLP with GELU, and attention with one head."""
    text = BLOCK.replace("    gain = Identity (gain0)\n", "")
    scalars = {"root": 2**0.5, "one": 1.0, "point5": 0.5}
    return graph(
        text,
        {
            "gain0": 1 + normal(8) / 4,
            "shift": normal(8, seed=1) / 4,
            "w1": normal(8, 16, seed=2) / 3,
            "b1": normal(16, seed=3),
            "w2": normal(16, 8, seed=4) / 4,
            "b2": normal(8, seed=5),
            "w3": normal(8, 8, seed=6) / 3,
            **{name: np.array(value, np.float32) for name, value in scalars.items()},
        },
    )


def test_a_block_computes_what_numpy_does_with_every_float16_tensor_rounded() -> None:
    text = """g (float[n, 8] x) => (float[n, 4] y) {
        p = MatMul (x, w) s = Add (p, b) r = Sigmoid (s) m = Mul (s, r) y = MatMul (m, v)
    }"""
    w, b, v = normal(8, 16), normal(16, seed=1), normal(16, 4, seed=2)
    made, _ = halved(graph(text, {"w": w, "b": b, "v": v}), {}, {})
    x = normal(3, 8, seed=3)
    s = half(half(half(x) @ half(w)) + half(b))
    m = half(s * half(1 / (1 + np.exp(-s))))
    assert run(made, {"x": x})["y"].tolist() == half(m @ half(v)).tolist()


def test_emulated_a_block_gives_what_its_nodes_give_one_by_one() -> None:
    made, _ = halved(block(), {}, {})
    x = normal(2, 5, 8, seed=9)
    got, wanted = run(made, {"x": x})["y"], run(block(), {"x": x})["y"]
    assert (got == node_by_node(made, {"x": x})["y"]).all()
    assert 1e-5 < np.abs(got - wanted).max() < 1e-2


def test_products_and_what_is_between_them_are_float16_and_all_else_is_float32() -> None:
    made, report = halved(block(), {}, {})
    assert halves(made) == {
        *("up0", "up", "scaled", "erf", "more", "halved", "acted", "down0", "down"),
        *("key", "turned", "scores", "mixed"),
        *("w1", "b1", "w2", "b2", "w3", "root", "one", "point5"),
    }
    found = computed_in(made)
    assert found["Softmax"] == found["LayerNormalization"] == {FLOAT}
    assert found["MatMul"] == found["Erf"] == found["Transpose"] == {HALF}
    assert report.share("fp16") == 1
    assert not report.kept()


def test_no_cast_stands_where_none_is_needed() -> None:
    made, _ = halved(block(), {}, {})
    casts = [(each.input[0], each.output[0]) for each in made.graph.node if each.op_type == "Cast"]
    ends = {before.removesuffix(".half") for before, _ in casts}
    assert ends == {"normed", "normed2", "down", "scores", "weights", "mixed"}
    assert len(casts) == len(ends)


def test_the_graph_that_was_given_is_as_it_was_and_the_new_one_is_valid() -> None:
    given = block()
    made, _ = halved(given, {}, {})
    assert given == block()
    check(made, 18)
    assert [each.name for each in made.graph.output] == ["y"]


def test_each_layer_leaves_a_tensor_of_its_name_and_value() -> None:
    made, report = halved(block(), {}, {})
    x = normal(2, 5, 8, seed=9)
    got, wanted = node_by_node(made, {"x": x}), node_by_node(block(), {"x": x})
    for layer in report.layers:
        assert np.abs(got[layer.name] - wanted[layer.name]).max() < 1e-2


def test_the_work_of_each_layer_is_counted_for_one_sample() -> None:
    _, report = halved(block(), {}, {"key": "asked for"})
    assert {each.name: each.work for each in report.layers} == {
        "up0": 5 * 8 * 16,
        "down0": 5 * 16 * 8,
        "key": 5 * 8 * 8,
        "scores": 5 * 8 * 5,
        "mixed": 5 * 5 * 8,
    }
    assert report.kept() == {"key": "asked for"}
    assert report.share("fp16") == pytest.approx(1680 / 2000)


SQUEEZE = """g (float[n, 4] x) => (float[n, 4] y) {
    wide = MatMul (x, up) act = Relu (wide) y = MatMul (act, down)
}"""
SQUEEZED: dict[str, Array] = {
    "up": np.eye(4, dtype=np.float32) * 40000,
    "down": np.eye(4, dtype=np.float32) / 10000,
}


def test_a_planted_overflow_is_seen_by_the_emulation_alone() -> None:
    given, x = graph(SQUEEZE, SQUEEZED), np.full((2, 4), 2, np.float32)
    made, _ = halved(given, {}, {})
    assert np.allclose(run(given, {"x": x})["y"], 8)
    assert not np.isfinite(run(made, {"x": x})["y"]).any()
    assert np.allclose(run(made, {"x": x}, optimised=True)["y"], 8, rtol=1e-2)


@pytest.mark.parametrize("peak", [16377.0, 120000.0])
def test_a_tensor_whose_peak_is_near_the_end_stays_float32(peak: float) -> None:
    given, x = graph(SQUEEZE, SQUEEZED), np.full((2, 4), 2, np.float32)
    made, report = halved(given, {"wide": peak, "act": peak, "x": 2.0, "y": 8.0}, {})
    assert np.allclose(run(made, {"x": x})["y"], 8, rtol=1e-6)
    assert not halves(made)
    told = r"within a quarter of float16's end at 65504"
    assert set(report.kept()) == {"wide", "y"}
    assert all(told in reason for reason in report.kept().values())
    assert report.kept()["y"].startswith("act reaches")


def test_a_peak_of_a_quarter_is_float16_still() -> None:
    _, report = halved(graph(SQUEEZE, SQUEEZED), {"wide": 16376.0, "act": 16376.0}, {})
    assert "wide" not in report.kept()


def test_a_layer_that_is_to_be_kept_is_kept_with_what_follows() -> None:
    made, report = halved(block(), {}, {"up0": "of the budget"})
    assert not halves(made) & {"w1", "up0", "up", "erf", "acted"}
    assert {"down0", "w2"} <= halves(made)
    assert report.kept() == {"up0": "of the budget"}


def test_a_mask_that_float16_cannot_hold_is_added_in_float32() -> None:
    text = """g (float[2, 4] x, float[2, 4] ahead) => (float[2, 4] y) {
        scores = MatMul (x, w) mask = Mul (ahead, low) sum = Add (scores, low2)
        less = Add (sum, mask) y = Softmax (less)
    }"""
    low = np.array(-1e9, np.float32)
    made, _ = halved(graph(text, {"w": normal(4, 4), "low": low, "low2": low}), {}, {})
    assert halves(made) == {"scores", "w"}


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (np.full((4, 4), 70000), "reaches 7e+04, beyond float16"),
        (np.full((4, 4), 1e-6), "is 1e-06 at most: float16 has no digits for it"),
        (np.full((4, 4), np.inf), "reaches inf, beyond float16"),
        (np.full((4, 4), np.nan), "reaches nan, beyond float16"),
    ],
)
def test_a_weight_that_float16_cannot_hold_keeps_its_layer(weight: Array, told: str) -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) { y = MatMul (x, w) }"
    made, report = halved(graph(text, {"w": weight.astype(np.float32)}), {}, {})
    assert not halves(made)
    assert report.kept() == {"y": f"the constant w {told}"}


def test_a_tensor_of_numbers_too_near_to_zero_stays_float32() -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) { y = MatMul (x, w) }"
    _, report = halved(graph(text, {"w": normal(4, 4)}), {"x": 1e-5}, {})
    assert report.kept() == {"y": "x is 1e-05 at most: float16 has no digits for it"}
    _, report = halved(graph(text, {"w": normal(4, 4)}), {"x": 0.0}, {})
    assert not report.kept()


ROTATED = """g (float[1, 5, 8] x, int64[1, 5] places) => (float[1, 5, 5] y) {
    q = MatMul (x, w) k = MatMul (x, v)
    cosines = Gather (cos, places) sines = Gather (sin, places)
    q1, q2 = Split <axis = -1, num_outputs = 2> (q)
    back = Neg (q2) crossed = Concat <axis = -1> (back, q1)
    straight = Mul (q, cosines) across = Mul (crossed, sines) rotated = Add (straight, across)
    keys = Transpose <perm = [0, 2, 1]> (k) y = MatMul (rotated, keys)
}"""


def test_a_rotation_is_computed_in_float32() -> None:
    angles = np.outer(np.arange(16), 10.0 ** -np.arange(4)).repeat(2, 1).astype(np.float32)
    weights = {"w": normal(8, 8), "v": normal(8, 8), "cos": np.cos(angles), "sin": np.sin(angles)}
    made, report = halved(graph(ROTATED, weights), {}, {})
    assert halves(made) == {"q", "w", "k", "v", "keys", "y"}
    assert report.share("fp16") == 1


def test_angles_are_computed_in_float32() -> None:
    text = """g (float[n, 1] place, float[n, 4] x) => (float[n, 4] y) {
        angle = MatMul (place, steps) turn = Cos (angle) z = MatMul (x, w) y = Mul (z, turn)
    }"""
    made, report = halved(graph(text, {"steps": normal(1, 4), "w": normal(4, 4)}), {}, {})
    assert halves(made) == {"z", "w"}
    assert list(report.kept()) == ["angle"]


def test_a_square_and_a_norm_made_of_it_are_float32() -> None:
    text = """g (float[n, 4] x) => (float[n, 4] y) {
        p = MatMul (x, w) square = Mul (p, p) mean = ReduceMean <keepdims = 1> (square, last)
        some = Add (mean, little) root = Sqrt (some) one = Reciprocal (root) n = Mul (p, one)
        y = MatMul (n, w)
    }"""
    weights = {"w": 300 * normal(4, 4), "last": np.array([1]), "little": np.float32(1e-6)}
    given = graph(text, {name: np.asarray(each) for name, each in weights.items()})
    made, _ = halved(given, {}, {})
    assert halves(made) == {"p", "w", "y"}
    x = 3 * normal(2, 4)
    assert np.abs(run(made, {"x": x})["y"] / run(given, {"x": x})["y"] - 1).max() < 1e-2


def test_a_residual_sum_that_no_norm_reads_is_float16() -> None:
    text = """g (float[1, 2, 6, 6] x) => (float[1, 2, 6, 6] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, k) r = Relu (a) b = Conv <pads = [1, 1, 1, 1]> (r, k)
        s = Add (a, b) t = Relu (s) y = Conv <pads = [1, 1, 1, 1]> (t, k)
    }"""
    made, _ = halved(graph(text, {"k": normal(2, 2, 3, 3)}), {}, {})
    assert halves(made) == {"a", "r", "b", "s", "t", "y", "k"}
    assert [each.op_type for each in made.graph.node].count("Cast") == 2


def test_a_table_is_float16_and_a_shape_needs_no_cast() -> None:
    text = """g (int64[n, s] ids) => (float[n, s, 4] y, int64[3] size) {
        y = Gather (table, ids) size = Shape (y)
    }"""
    made, report = halved(graph(text, {"table": normal(9, 4)}), {}, {})
    assert halves(made) == {"y", "table"}
    assert not report.layers
    ids = np.array([[1, 8, 0]])
    assert (run(made, {"ids": ids})["y"] == half(normal(9, 4))[ids]).all()


def test_a_product_of_quantised_factors_is_left_alone() -> None:
    text = """g (float[n, 4] x) => (float[n, 4] y) {
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
        f = DequantizeLinear (w, s, z) p = MatMul (d, f) y = MatMul (p, v)
    }"""
    weights: dict[str, Array] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.int8),
        "w": np.eye(4, dtype=np.int8),
        "v": normal(4, 4),
    }
    made, report = halved(graph(text, weights), {}, {})
    assert report.kept() == {"p": "d is quantised"}
    assert halves(made) == {"y", "v"}


def test_each_pass_gives_a_valid_graph() -> None:
    first = check(half_products(block(), ()), 18)
    casts = [each.op_type for each in first.graph.node].count("Cast")
    second = check(half_between(first, set()), 18)
    assert [each.op_type for each in second.graph.node].count("Cast") == 6 < casts
    x = normal(2, 5, 8)
    for made in (first, second):
        assert np.abs(run(made, {"x": x})["y"] - run(block(), {"x": x})["y"]).max() < 1e-2


def test_a_wide_tensor_keeps_cheap_operators_around_it_float32() -> None:
    made, _ = halved(block(), {"more": 20000.0}, {})
    assert halves(made) >= {"scaled", "erf", "down0", "w2"}
    assert not halves(made) & {"more", "halved", "acted", "one"}


@pytest.mark.parametrize(
    ("peaks", "keep", "told"),
    [
        ({}, {"nothing": "why"}, "no layer to keep named nothing"),
        ({}, {"erf": "why"}, "no layer to keep named erf"),
        ({"up0": float("inf")}, {}, "up0: a peak of inf; expected a finite number"),
        ({"up0": float("nan")}, {}, "up0: a peak of nan"),
        ({"up0": -1.0}, {}, r"up0: a peak of -1\.0"),
    ],
)
def test_what_cannot_be_kept_or_is_no_peak_is_named(
    peaks: dict[str, float], keep: dict[str, str], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        halved(block(), peaks, keep)
