"""Bias correction takes the mean error off a layer, and trusts no mean that is only noise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.calibration.statistics import Observer, Statistics
from edgespark.engines.graphs import check
from edgespark.engines.passes.correct_bias import correct_bias, shift
from edgespark.engines.passes.quantize import quantize
from tests.engines.typed import graph, normal, run

Floats = NDArray[np.float32]
LINEAR = "g (float[n, 16] x) => (float[n, 4] y) { p = MatMul(x, w) y = Add(p, b) }"


def held(rows: Floats) -> Statistics:
    observer = Observer(-1)
    observer.observe(rows)
    return observer.finish()


@pytest.mark.parametrize("peak", [1.0, 4.0])
def test_the_mean_of_the_quantised_layer_is_that_of_the_float_one(peak: float) -> None:
    x = np.abs(normal(256, 16))
    model = graph(LINEAR, {"w": normal(16, 4, seed=1), "b": normal(4, seed=2)})
    plain = quantize(model, {"p"}, {"x": peak})
    made = correct_bias(model, {"x": held(x)}, {"p"}, {"x": peak})
    corrected = check(quantize(made, {"p"}, {"x": peak}), 18)
    assert len(corrected.graph.node) == len(plain.graph.node)
    wanted = run(model, {"x": x})["y"].mean(0)
    off = [np.abs(run(each, {"x": x})["y"].mean(0) - wanted).max() for each in (plain, corrected)]
    assert off[1] < off[0] / 3


def test_noise_is_not_corrected() -> None:
    rows = normal(256, 16) * 2
    weight = np.rint(normal(16, 4, seed=1) * 40).astype(np.float32)
    weight[0] = 127  # so that nothing is lost by rounding the weight
    noise = (
        rows - np.clip(np.rint(rows / np.float32(8 / 127)), -128, 127) * np.float32(8 / 127)
    ) @ weight
    assert np.abs(shift(weight, held(rows), 8.0)).sum() < np.abs(noise.mean(0)).sum() / 2


NO_BIAS = {
    "there is none": "p = MatMul(x, w) y = Relu(p)",
    "the sum is of two tensors": "p = MatMul(x, w) q = MatMul(x, u) y = Add(p, q)",
    "another one reads the product": "p = MatMul(x, w) q = Add(p, b) y = Mul(p, q)",
}


@pytest.mark.parametrize("nodes", NO_BIAS.values(), ids=NO_BIAS)
def test_a_layer_without_a_bias_of_its_own_stays(nodes: str) -> None:
    weights = {"w": normal(16, 4), "u": normal(16, 4, seed=1), "b": normal(4)}
    model = graph(f"g (float[n, 16] x) => (float[n, 4] y) {{ {nodes} }}", weights)
    assert correct_bias(model, {"x": held(normal(32, 16))}, {"p"}, {"x": 2.0}) == model


def test_a_bias_that_two_layers_share_is_corrected_for_each() -> None:
    text = """g (float[n, 16] x) => (float[n, 4] y, float[n, 4] z) {
        p = MatMul(x, w)
        y = Add(p, b)
        z = Add(b, x4)
    }"""
    weights = {"w": normal(16, 4), "b": normal(4), "x4": normal(1, 4)}
    model = graph(text, weights)
    x = np.abs(normal(64, 16))
    made = check(correct_bias(model, {"x": held(x)}, {"p"}, {"x": 1.0}), 18)
    np.testing.assert_array_equal(run(made, {"x": x})["z"], run(model, {"x": x})["z"])
    assert (run(made, {"x": x})["y"] != run(model, {"x": x})["y"]).any()
