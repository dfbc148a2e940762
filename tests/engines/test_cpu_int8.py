"""What ONNX Runtime's own operators give is what the portable graph gives, but for rounding."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespark.engines.int8 import Int8, quantised
from edgespark.engines.passes.cpu_int8 import cpu_int8
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.passes.quantize import quantize
from tests.engines.blocks import block, calibration, cnn, samples
from tests.engines.typed import Array, graph, normal

READ = """
    c = QuantizeLinear(x, s, z)
    d = DequantizeLinear(c, s, z)
    e = DequantizeLinear <axis = 1> (w, t)
"""
LINEAR = f"g (float[n, 6] x) => (float[n, 4] y) {{ {READ} p = MatMul(d, e) y = Add(%s) }}"
ATTENTION = """
g (float[2, q, %(wide)d] x, float[2, k, %(wide)d] a, float[2, k, %(wide)d] b)
    => (float[2, q, %(wide)d] y) {
    q4 = Reshape(x, cut)
    k4 = Reshape(a, cut)
    v4 = Reshape(b, cut)
    qt = Transpose <perm = [0, 2, 1, 3]> (q4)
    kt = Transpose <perm = [0, 2, 3, 1]> (k4)
    vt = Transpose <perm = [0, 2, 1, 3]> (v4)
    %(scores)s
    probabilities = Softmax <axis = -1> (scaled)
    mixed = MatMul(probabilities, vt)
    back = Transpose <perm = [0, 2, 1, 3]> (mixed)
    y = Reshape(back, joined)
}
"""
SCORES = {
    "none": "scaled = MatMul(qt, kt)",
    "queries": "qs = Mul(qt, root) scaled = MatMul(qs, kt)",
    "both": "qs = Mul(root, qt) ks = Mul(kt, root) scaled = MatMul(qs, ks)",
    "scores": "scores = MatMul(qt, kt) scaled = Mul(scores, root)",
}


def run(model: onnx.ModelProto, fed: Mapping[str, Array], *, fast: bool) -> dict[str, Array]:
    """Run node by node in float32; or fast, with integer kernels that do not saturate."""
    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level.ORT_ENABLE_ALL if fast else level.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(fed)), strict=True))


def error(portable: onnx.ModelProto, made: onnx.ModelProto, fed: Mapping[str, Array]) -> float:
    """Run the portable graph node by node beside the lowered one: the greatest relative error."""
    wanted, got = run(portable, fed, fast=False), run(made, fed, fast=True)
    assert wanted.keys() == got.keys()
    return max(
        float(np.linalg.norm(got[name] - wanted[name]) / (np.linalg.norm(wanted[name]) or 1))
        for name in wanted
    )


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def numbers(zero: int = 0, **others: Array) -> dict[str, Array]:
    weight = np.random.default_rng(0).integers(-127, 128, (6, 4)).astype(np.int8)
    steps = np.linspace(0.01, 0.02, 4, dtype=np.float32)
    plain: dict[str, Array] = {"w": weight, "t": steps, "s": np.array(0.02, np.float32)}
    return plain | {"z": np.array(zero, np.int8), "b": normal(4, seed=1)} | others


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_linear_layer_multiplies_the_same_integers(
    deep: int, wide: int, rows: int, seed: int
) -> None:
    text = f"g (float[n, {deep}] x) => (float[n, {wide}] y) {{ p = MatMul(x, w) y = Add(p, b) }}"
    weights = {"w": normal(deep, wide, seed=seed), "b": normal(wide, seed=seed + 1)}
    portable = quantize(graph(text, weights), {"p"}, {"x": 2.5})
    made = cpu_int8(portable)
    assert operators(made) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 1}
    assert error(portable, made, {"x": normal(rows, deep, seed=seed + 2) * 2}) < 1e-5


@pytest.mark.parametrize("operands", ["p, b", "b, p"])
@pytest.mark.parametrize("steps", [(), (1,), (4,)])
def test_scales_and_biases_may_be_written_in_several_ways(
    operands: str, steps: tuple[int, ...]
) -> None:
    portable = graph(LINEAR % operands, numbers(t=np.full(steps, 0.01, np.float32)))
    made = cpu_int8(portable)
    assert operators(made) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 1}
    assert error(portable, made, {"x": normal(5, 6)}) < 1e-5


def test_products_of_two_tensors_stay_as_their_kernels_would_saturate_elsewhere() -> None:
    text = "g (float[c, n, k] x, float[c, k, m] z) => (float[c, n, m] y) { y = MatMul(x, z) }"
    portable = quantize(graph(text, {}), {"y"}, {"x": 2.0, "z": 2.5})
    assert cpu_int8(portable) == portable


def test_a_tensor_is_rounded_once_for_all_that_multiply_it() -> None:
    text = (
        "g (float[n, 6] x) => (float[n, 4] y, float[n, 4] u) { y = MatMul(x, w) u = MatMul(x, v)}"
    )
    weights = {"w": normal(6, 4), "v": normal(6, 4, seed=1)}
    portable = quantize(graph(text, weights), {"y", "u"}, {"x": 3.0})
    made = cpu_int8(portable)
    assert operators(made) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 2}
    assert error(portable, made, {"x": normal(5, 6)}) < 1e-5


def test_a_product_that_others_read_as_well_keeps_its_tensor() -> None:
    text = (LINEAR % "p, b").replace("=> (", "=> (float[n, 4] p, ")
    portable = graph(text, numbers())
    made = cpu_int8(portable)
    assert operators(made) == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 1, "Add": 1}
    assert error(portable, made, {"x": normal(5, 6)}) < 1e-5


UNSIGNED = np.array(128, np.uint8)
STAYS: dict[str, tuple[str, dict[str, Array]]] = {
    "another zero point": (LINEAR % "p, b", numbers(zero=3)),
    "unsigned already": (LINEAR % "p, b", numbers() | {"z": UNSIGNED}),
    "scales along the rows": (
        (LINEAR % "p, b").replace("<axis = 1>", "<axis = 0>"),
        numbers(t=np.full(6, 0.01, np.float32)),
    ),
    "a vector": (
        f"g (float[n, 6] x) => (float[n] y) {{ {READ} y = MatMul(d, e) }}".replace(
            "<axis = 1>", ""
        ),
        numbers(w=np.arange(6, dtype=np.int8), t=np.array(0.1, np.float32)),
    ),
    "a float weight": (
        "g (float[n, 6] x) => (float[n, 4] y) { c = QuantizeLinear(x, s, z) "
        "d = DequantizeLinear(c, s, z) p = MatMul(d, e) y = Add(p, b) }",
        numbers(e=normal(6, 4)),
    ),
    "a float input": (
        "g (float[n, 6] x) => (float[n, 4] y) { e = DequantizeLinear(w, t) "
        "p = MatMul(x, e) y = Add(p, b) }".replace("Linear(w", "Linear <axis = 1> (w"),
        numbers(),
    ),
}


@pytest.mark.parametrize("case", STAYS)
def test_products_in_another_form_stay(case: str) -> None:
    text, weights = STAYS[case]
    used = {name: each for name, each in weights.items() if f"{name}" in text}
    portable = graph(text, used)
    assert cpu_int8(portable) == portable


def test_convs_stay_in_the_portable_form() -> None:
    model = prepared(cnn())
    portable, _ = quantised(model, calibration(model, samples(4, 2, 8, 8)), Int8())
    assert cpu_int8(portable) == portable


def attention(
    wide: int, heads: int, scores: str, other: tuple[str, str] = ("", "")
) -> onnx.ModelProto:
    text = ATTENTION % {"wide": wide, "scores": SCORES.get(scores, scores)}
    text = text.replace(*other) if other[0] else text
    weights: dict[str, Array] = {
        "cut": np.array([0, 0, heads, wide // heads]),
        "joined": np.array([0, 0, wide]),
        "root": np.array((wide // heads) ** -0.5, np.float32),
    }
    return graph(text, {name: each for name, each in weights.items() if name in text})


@given(
    st.sampled_from(sorted(SCORES)),
    st.integers(1, 4),
    st.integers(1, 9),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_float_attention_becomes_one_operator(
    scores: str, heads: int, width: int, tokens: tuple[int, int], seed: int
) -> None:
    wide, (asking, asked) = heads * width, tokens
    model = sized(attention(wide, heads, scores), q=asking, k=asked)
    made = cpu_int8(model)
    assert operators(made) == {"MultiHeadAttention": 1}
    sides = {"x": asking, "a": asked, "b": asked}
    fed = {name: normal(2, n, wide, seed=seed + i) for i, (name, n) in enumerate(sides.items())}
    assert error(model, made, fed) < 1e-5


def sized(model: onnx.ModelProto, **sizes: int) -> onnx.ModelProto:
    """Set open axes."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    return model


OTHER: dict[str, onnx.ModelProto] = {
    "open sizes of three tensors": attention(8, 2, "queries"),
    "a mask": sized(
        attention(8, 2, "raw = MatMul(qt, kt) scaled = Add(raw, root)"),
        q=3,
        k=3,
    ),
    "softmax over queries": sized(attention(8, 2, "none", ("axis = -1", "axis = 2")), q=3, k=3),
    "other heads in front": sized(
        attention(8, 2, "none", ("perm = [0, 2, 1, 3]> (v4)", "perm = [0, 2, 3, 1]> (v4)")),
        q=4,
        k=4,
    ),
    "weights that are not of a softmax": sized(
        attention(8, 2, "none", ("Softmax <axis = -1>", "Sigmoid")), q=3, k=3
    ),
}


@pytest.mark.parametrize("case", OTHER)
def test_other_attention_stays(case: str) -> None:
    assert cpu_int8(OTHER[case]) == OTHER[case]


HOW = {
    "int8 scores": (Int8(), {"MatMulIntegerToFloat": 4, "MatMul": 2, "Softmax": 1}),
    "float scores": (Int8(scores=False), {"MatMulIntegerToFloat": 4, "MultiHeadAttention": 1}),
    "all int8": (Int8(mixes=True), {"MatMulIntegerToFloat": 4, "MatMul": 2, "Softmax": 1}),
}


@pytest.mark.parametrize("case", HOW)
def test_a_block_gives_the_same(case: str) -> None:
    how, wanted = HOW[case]
    portable, _ = quantised(block(), calibration(prepared(block()), samples(8)), how)
    before = portable.SerializeToString()
    made = cpu_int8(portable)
    found = operators(made)
    assert portable.SerializeToString() == before
    assert {name: found[name] for name in wanted} == wanted
    constants = {each.name for each in made.graph.initializer}
    integer = [node for node in made.graph.node if node.op_type == "MatMulIntegerToFloat"]
    assert all(node.input[1] in constants for node in integer)
    # a sum that lies between two codes may round the other way: a hundredth, as INT8 itself loses
    assert error(portable, made, {"x": normal(3, 8, 32, seed=900)}) < 0.01
    assert {each.domain for each in made.opset_import} == {"", "com.microsoft"}
    assert cpu_int8(made) == made
