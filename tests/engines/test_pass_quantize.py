"""Quantised layers give what integers multiplied by hand give, in the form that runtimes fuse."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgespark.engines.graphs import check
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.passes.quantize import quantize, rounded, rounded_weight
from edgespark.engines.passes.work import works
from tests.engines.blocks import block, calibration, cnn, samples, values
from tests.engines.typed import Array, graph, normal, run

Floats = NDArray[np.float32]
LINEAR = "g (float[n, 6] x) => (float[n, 4] y) { p = MatMul(x, w) y = Add(p, b) }"


def by_hand(x: Floats, weight: Floats, peak: float) -> NDArray[np.float64]:
    step = peak / 127
    codes = np.clip(np.rint(x / step), -128, 127).astype(np.int64)
    steps = np.abs(weight).max(0) / 127
    weights = np.rint(weight / steps).astype(np.int64)
    product: NDArray[np.float64] = (codes @ weights) * step * steps
    return product


@pytest.mark.parametrize("peak", [0.5, 3.0])
def test_a_linear_layer_multiplies_integers(peak: float) -> None:
    weight, bias, x = normal(6, 4), normal(4, seed=1), normal(9, 6, seed=2)
    made = check(quantize(graph(LINEAR, {"w": weight, "b": bias}), {"p"}, {"x": peak}), 18)
    wanted = by_hand(x, weight, peak)
    np.testing.assert_allclose(values(made, {"x": x}, ["p"])["p"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(made, {"x": x})["y"], wanted + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        rounded(x, peak) @ rounded_weight(weight, 1), wanted, rtol=1e-4, atol=1e-5
    )


def test_a_product_of_two_tensors_multiplies_integers() -> None:
    text = "g (float[n, 6] x, float[6, m] z) => (float[n, m] y) { y = MatMul(x, z) }"
    x, z = normal(9, 6), normal(6, 5, seed=1)
    made = quantize(graph(text, {}), {"y"}, {"x": 2.0, "z": 2.5})
    wanted = rounded(x, 2.0).astype(np.float64) @ rounded(z, 2.5)
    np.testing.assert_allclose(run(check(made, 18), {"x": x, "z": z})["y"], wanted, rtol=1e-4)


def test_a_conv_has_one_scale_for_each_output_channel() -> None:
    text = "g (float[n, 3, 7, 7] x) => (float[n, 4, 5, 5] y) { y = Conv(x, w, b) }"
    weight = normal(4, 3, 3, 3) * np.geomspace(1, 1000, 4, dtype=np.float32).reshape(4, 1, 1, 1)
    model = graph(text, {"w": weight, "b": normal(4, seed=1)})
    made = check(quantize(model, {"y"}, {"x": 3.0}), 18)
    near = graph(text, {"w": rounded_weight(weight, 0), "b": normal(4, seed=1)})
    x = normal(2, 3, 7, 7, seed=2)
    wanted = run(near, {"x": rounded(x, 3.0)})["y"]
    np.testing.assert_allclose(run(made, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-3)


def test_a_tensor_is_rounded_once_and_read_by_each_layer_on_its_own() -> None:
    text = (
        "g (float[n, 6] x) => (float[n, 4] y, float[n, 4] z) { y = MatMul(x, w) z = MatMul(x, w) }"
    )
    made = check(quantize(graph(text, {"w": normal(6, 4)}), {"y", "z"}, {"x": 3.0}), 18)
    operators = [node.op_type for node in made.graph.node]
    assert operators.count("QuantizeLinear") == 1
    assert operators.count("DequantizeLinear") == 4
    assert sorted(each.name for each in made.graph.initializer if each.name.startswith("w")) == [
        "w.int8",
        "w.scale",
    ]


def test_layers_that_were_not_named_stay() -> None:
    model = prepared(block())
    assert quantize(model, set(), {}) == model


def test_zero_is_exact_and_no_graph_has_another_zero_point() -> None:
    made = quantize(graph(LINEAR, {"w": normal(6, 4), "b": normal(4)}), {"p"}, {"x": 3.0})
    zeros = [each for each in made.graph.initializer if each.name == "int8.zero"]
    assert [onnx.numpy_helper.to_array(each).tolist() for each in zeros] == [0]
    x = np.zeros((2, 6), np.float32)
    assert not values(made, {"x": x}, ["p"])["p"].any()


def optimised(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Return the operators that ONNX Runtime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.add_session_config_entry("optimization.disable_specified_optimizers", "MatMulAddFusion")
    onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def everything(model: onnx.ModelProto, fed: list[dict[str, Array]]) -> onnx.ModelProto:
    peaks = calibration(model, fed).peaks | {"x": 4.0}
    return quantize(model, {work.name for work in works(model.graph)}, peaks)


def test_onnx_runtime_fuses_every_product_of_a_block(tmp_path: Path) -> None:
    found = optimised(everything(prepared(block()), [*samples(4)]), tmp_path)
    assert found.count("MatMulIntegerToFloat") + found.count("QLinearMatMul") == 6
    assert not {"MatMul", "Gemm", "FusedMatMul", "DequantizeLinear"} & {*found}


def test_onnx_runtime_fuses_every_conv(tmp_path: Path) -> None:
    found = optimised(everything(cnn(), [*samples(4, 2, 8, 8)]), tmp_path)
    assert found.count("QLinearConv") == 2
    assert not {"Conv", "FusedConv"} & {*found}
