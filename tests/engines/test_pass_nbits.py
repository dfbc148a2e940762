"""Products with integer weights are written in blocks, code by code."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgespark.engines.passes.nbits import nbits
from edgespark.engines.sourced import sourced, written
from edgespark.runtime.errors import CheckError
from tests.engines.typed import Array, normal, run

CLOSE = 1e-3  # steps between codes are 0.5 and more
KINDS = {8: TensorProto.INT8, 4: TensorProto.INT4}


def product(
    bits: int, codes: Array, scales: Array, *, bias: bool = False, block: int = 0
) -> onnx.ModelProto:
    """Make x [n, rows] by dequantised codes [rows, columns], and perhaps a sum with a vector."""
    rows, columns = codes.shape
    told: dict[str, Any] = {"axis": 0, "block_size": block} if block else {"axis": 1}
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scales"], ["wide"], **told),
        helper.make_node("MatMul", ["x", "wide"], ["z" if bias else "y"]),
    ]
    tensors = [
        helper.make_tensor("codes", KINDS[bits], codes.shape, codes.reshape(-1).tolist()),
        numpy_helper.from_array(scales, "scales"),
    ]
    if bias:
        nodes.append(helper.make_node("Add", ["b", "z"], ["y"]))
        tensors.append(numpy_helper.from_array(normal(columns, seed=9), "b"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def drawn(bits: int, *shape: int) -> Array:
    most = 1 << (bits - 1)
    return np.random.default_rng(0).integers(-most, most, shape).astype(np.int8)


def scales(*shape: int) -> Array:
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


def lowered(model: onnx.ModelProto, folder: Path, largest: int = 128) -> onnx.ModelProto:
    written(nbits(sourced(model), largest), folder / "made.onnx")
    return onnx.load(folder / "made.onnx")


def told(model: onnx.ModelProto) -> dict[str, int]:
    (node,) = model.graph.node
    assert node.op_type == "MatMulNBits"
    return {each.name: each.i for each in node.attribute}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("rows", "block"), [(256, 128), (200, 32), (192, 64), (16, 16), (100, 16)])
def test_codes_and_scales_are_those_of_the_channels(
    bits: int, rows: int, block: int, tmp_path: Path
) -> None:
    codes, steps = drawn(bits, rows, 37), scales(37)
    model = product(bits, codes, steps)
    made = lowered(model, tmp_path)
    assert told(made) == {
        "K": rows,
        "N": 37,
        "bits": bits,
        "block_size": block,
        "accuracy_level": 4,
    }
    held = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    blocks = -(-rows // block)
    assert held["codes.8bits" if bits == 8 else "codes.4bits"].shape == (
        37,
        blocks,
        block * bits // 8,
    )
    # rows of x that are one number alone are not rounded: columns come back whole
    x = np.eye(rows, dtype=np.float32)
    np.testing.assert_allclose(run(made, {"x": x})["y"], codes * steps, atol=CLOSE)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("rows", "block"), [(256, 128), (256, 32), (96, 32), (80, 32), (48, 16)])
def test_blocks_of_int4_stay_as_they_are(rows: int, block: int, sign: int, tmp_path: Path) -> None:
    codes, steps = drawn(4, rows, 24), scales(-(-rows // block), 24)
    steps[:, ::2] *= sign
    made = lowered(product(4, codes, steps, block=block), tmp_path)
    assert told(made)["block_size"] == block
    wide = codes * steps.repeat(block, 0)[:rows]
    x = np.eye(rows, dtype=np.float32)
    np.testing.assert_allclose(run(made, {"x": x})["y"], wide, atol=CLOSE)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_bias_goes_along(bits: int, tmp_path: Path) -> None:
    model = product(bits, drawn(bits, 256, 40), scales(40), bias=True)
    made, x = lowered(model, tmp_path), normal(5, 256)
    assert len(made.graph.node[0].input) == 6
    wanted = run(model, {"x": x})["y"]
    got = run(made, {"x": x})["y"]
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)


@pytest.mark.parametrize("largest", [16, 32, 64, 128, 256])
def test_no_block_is_larger_than_asked_for(largest: int) -> None:
    made = nbits(sourced(product(8, drawn(8, 512, 40), scales(40))), largest)
    assert told(made.model)["block_size"] == largest


def test_a_weight_of_many_columns_is_turned_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = product(4, drawn(4, 96, 50), scales(50))
    whole = lowered(model, tmp_path)
    (tmp_path / "made.onnx").unlink()
    monkeypatch.setattr("edgespark.engines.passes.nbits.SLAB", 96 * 7)
    assert lowered(model, tmp_path) == whole


def test_a_product_that_an_output_shows_keeps_its_sum(tmp_path: Path) -> None:
    model = product(8, drawn(8, 64, 8), scales(8), bias=True)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 8]))
    made = lowered(model, tmp_path)
    assert [node.op_type for node in made.graph.node] == ["MatMulNBits", "Add"]
    assert set(run(made, {"x": normal(1, 64)})) == {"y", "z"}


def test_a_graph_without_such_products_is_given_back() -> None:
    model = product(8, drawn(8, 64, 8), scales(8))
    del model.graph.node[0]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(normal(64, 8), "wide"))
    given = sourced(model)
    assert nbits(given) is given


def test_what_was_given_is_as_it_was() -> None:
    given = sourced(product(8, drawn(8, 64, 40), scales(40)))
    before = given.model.SerializeToString()
    nbits(given)
    assert given.model.SerializeToString() == before


def unknown() -> dict[str, onnx.ModelProto]:
    codes = drawn(8, 64, 8)
    shifted = product(8, codes, scales(8))
    shifted.graph.node[0].input.append("zero")
    shifted.graph.initializer.append(numpy_helper.from_array(np.full(8, 3, np.int8), "zero"))
    return {
        "a zero point": shifted,
        "scales of rows": product(8, codes, scales(64)),
        "blocks of 8": product(8, codes, scales(8, 8), block=8),
        "too few blocks": product(8, codes, scales(1, 8), block=32),
    }


@pytest.mark.parametrize("name", unknown())
def test_a_form_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(CheckError, match="codes: no form that MatMulNBits takes"):
        nbits(sourced(unknown()[name]))


def test_a_zero_point_of_zero_changes_nothing(tmp_path: Path) -> None:
    codes = drawn(8, 64, 40)
    model = product(8, codes, scales(40))
    model.graph.node[0].input.append("zero")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(40, np.int8), "zero"))
    x = np.eye(64, dtype=np.float32)
    got = run(lowered(model, tmp_path), {"x": x})["y"]
    np.testing.assert_allclose(got, codes * scales(40), atol=CLOSE)
