"""Smoothing changes no function; it moves size from channels to weights, and says what it did."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.calibration.checks import problems
from edgespark.calibration.methods import METHODS, peak_of
from edgespark.calibration.statistics import Observer, Statistics
from edgespark.engines.graphs import check
from edgespark.engines.passes.absorb import Sources, absorbed
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.passes.smooth import Smoothing, divided, smooth
from edgespark.engines.passes.wiring import exchange, shapes, wiring
from edgespark.engines.passes.work import works
from tests.engines.blocks import block, calibration, planted, samples, values
from tests.engines.typed import Array, graph, normal, run


def names(model: onnx.ModelProto) -> set[str]:
    return {work.name for work in works(model.graph)}


def held(rows: NDArray[np.float32]) -> Statistics:
    observer = Observer(-1)
    for each in rows:
        observer.observe(each[None])
    return observer.finish()


@settings(max_examples=10, deadline=None)
@given(strength=st.floats(0.05, 1), factor=st.sampled_from([1e-3, 1.0, 300.0]))
def test_no_strength_changes_the_function(strength: float, factor: float) -> None:
    model = prepared(planted(factor))
    fed = samples(4)
    tensors = calibration(model, fed).tensors
    made, _, found = smooth(model, tensors, names(model), Smoothing(strengths=(strength,)))
    check(made, 18)
    for each in fed if found else []:
        wanted = values(model, each, ["y", "q", "k", "v", "scores", "h0"])
        for name, value in values(made, each, wanted).items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-3, atol=1e-4)


def test_the_planted_channel_is_smoothed_and_its_statistics_are_those_of_the_new_graph() -> None:
    model, fed = prepared(planted()), samples()
    before = calibration(model, fed).tensors
    made, told, found = smooth(model, before, names(model), Smoothing())
    assert {"n", "n2"} <= found.keys()
    after = calibration(made, fed).tensors
    for name in found:
        assert told[name].peak < before[name].peak / 5
        np.testing.assert_allclose(told[name].channels, after[name].channels, rtol=1e-4)
        np.testing.assert_allclose(told[name].peak, after[name].peak, rtol=1e-4)
        np.testing.assert_allclose(told[name].means, after[name].means, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(told[name].rows, after[name].rows, rtol=1e-3, atol=1e-5)
    assert all(told[name] is before[name] for name in before.keys() - found.keys())


def test_what_a_shortcut_reads_as_well_stays() -> None:
    text = """g (float[n, 8] x) => (float[n, 8] y) {
        t = LayerNormalization <axis = -1> (x, gain)
        p = MatMul(t, w)
        y = Add(t, p)
    }"""
    gain, weight = np.ones(8, np.float32), normal(8, 8)
    gain[2], weight[2] = 100, weight[2] / 100
    model = graph(text, {"gain": gain, "w": weight})
    fed = [{"x": normal(4, 8, seed=n)} for n in range(8)]
    made, _, found = smooth(model, calibration(model, fed).tensors, names(model), Smoothing())
    assert made == model
    assert not found


def test_a_gain_that_two_norms_share_is_changed_for_one_alone() -> None:
    text = """g (float[n, 8] x) => (float[n, 8] y, float[n, 8] z) {
        t = LayerNormalization <axis = -1> (x, gain)
        y = MatMul(t, w)
        z = LayerNormalization <axis = -1> (x, gain)
    }"""
    gain, weight = np.ones(8, np.float32), normal(8, 8)
    gain[2], weight[2] = 100, weight[2] / 100
    model = graph(text, {"gain": gain, "w": weight})
    fed = [{"x": normal(4, 8, seed=n)} for n in range(8)]
    made, _, found = smooth(model, calibration(model, fed).tensors, names(model), Smoothing())
    assert found.keys() == {"t"}
    for name, value in run(check(made, 18), fed[0]).items():
        np.testing.assert_allclose(value, run(model, fed[0])[name], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_divided_statistics_are_those_that_a_tensor_can_have(method: str, sign: int) -> None:
    rows = normal(64, 16) * np.geomspace(0.01, 100, 16, dtype=np.float32)
    told = held(np.abs(rows) * np.float32(sign) if sign else rows)
    now = divided(told, np.geomspace(0.02, 50, 16, dtype=np.float32))
    assert problems(now) == []
    assert 0 < peak_of(now, method) <= now.peak  # type: ignore[arg-type]


PATHS = {
    "a norm": "t = LayerNormalization <axis = -1> (x, a, b)",
    "a scaled tensor": "t = Mul(x, a)",
    "a norm in pieces": "s = Mul(a, x) d = ReduceMax(x, last) e = Div(s, d) t = Add(e, b)",
    "a product": "p = MatMul(x, w) t = Add(p, b)",
    "a rectified product": "p = MatMul(x, w) q = Add(b, p) t = Relu(q)",
    "values, mixed": """
        p = MatMul(x, w)
        o, v = Split <axis = -1, num_outputs = 2> (p)
        w4 = Reshape(v, four)
        wt = Transpose <perm = [0, 2, 1, 3]> (w4)
        m = Softmax (mix)
        r = MatMul(m, wt)
        rt = Transpose <perm = [0, 2, 1, 3]> (r)
        t = Reshape(rt, three)""",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_division_is_absorbed_exactly(path: str) -> None:
    wide = 4 if "Split" in path else 8
    text = f"g (float[n, 6, 8] x) => (float[n, 6, {wide}] y) {{ {path} y = Identity(t) }}"
    weights: dict[str, Array] = {"w": normal(8, 8), "a": normal(8, seed=1), "b": normal(8, seed=2)}
    weights |= {"last": np.array([-1]), "four": np.array([-1, 6, 2, 2]), "mix": normal(1, 2, 6, 6)}
    model = graph(text, weights | {"three": np.array([-1, 6, 4])})
    factors = np.geomspace(0.1, 9, wide, dtype=np.float32)
    sources = Sources(seen=wiring(model.graph), shapes=shapes(model))
    edits = absorbed("t", factors.reshape(1, 1, -1), sources)
    assert edits
    fed = {"x": normal(3, 6, 8, seed=3)}
    wanted = run(model, fed)["y"] / factors
    for each in edits:
        exchange(model.graph, each.node, each.place, each.array)
    np.testing.assert_allclose(run(check(model, 18), fed)["y"], wanted, rtol=1e-4, atol=1e-5)


def test_a_kernel_absorbs_a_division_of_its_channels() -> None:
    text = "g (float[n, 3, 5, 5] x) => (float[n, 4, 5, 5] y) { t = Conv(x, w, b) y = Relu(t) }"
    model = graph(text, {"w": normal(4, 3, 1, 1), "b": normal(4, seed=1)})
    factors = np.geomspace(0.1, 9, 4, dtype=np.float32).reshape(1, 4, 1, 1)
    edits = absorbed("t", factors, Sources(seen=wiring(model.graph), shapes=shapes(model)))
    fed = {"x": normal(2, 3, 5, 5, seed=2)}
    wanted = run(model, fed)["y"] / factors
    for each in edits or []:
        exchange(model.graph, each.node, each.place, each.array)
    np.testing.assert_allclose(run(model, fed)["y"], wanted, rtol=1e-4, atol=1e-5)


NO_PATHS = {
    "an input": "t = Identity(x)",
    "a sum of two": "s = Mul(x, a) t = Add(s, x)",
    "a curved function": "s = Mul(x, a) t = Erf(s)",
    "one that is read twice": "s = Mul(x, a) u = Relu(s) v = Neg(s) t = Relu(s)",
    "mixed rows": "t = MatMul(mix, x)",
}


@pytest.mark.parametrize("path", NO_PATHS.values(), ids=NO_PATHS)
def test_what_cannot_be_divided_exactly_is_left(path: str) -> None:
    text = f"g (float[n, 6, 8] x) => (float[n, 6, 8] y) {{ {path} y = Identity(t) }}"
    model = graph(text, {"a": normal(8), "mix": normal(6, 6)})
    sources = Sources(seen=wiring(model.graph), shapes=shapes(model))
    assert absorbed("t", normal(1, 1, 8), sources) is None


def test_attention_weights_of_one_row_each_keep_their_place() -> None:
    model = prepared(block())
    sources = Sources(seen=wiring(model.graph), shapes=shapes(model))
    assert absorbed("flat", np.full((1, 1, 32), 2, np.float32), sources)
    kept = Sources(seen=sources.seen, shapes=sources.shapes, held=frozenset({"vt"}))
    assert absorbed("flat", np.full((1, 1, 32), 2, np.float32), kept) is None
