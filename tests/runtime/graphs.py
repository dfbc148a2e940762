"""A small ONNX graph of a decoder's form, for the tests of backends; they skip without onnx."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.backends import Program
from tests.runtime.stand_in import port

onnx = pytest.importorskip("onnx")
Array = NDArray[Any]
WIDTH = 4
X, PAST, NEW = port("x", "sequence", WIDTH), port("past", "past", WIDTH), port("new", "new", WIDTH)


def graph(location: str = "") -> bytes:
    """Return a graph of a decoder's form: total = sum of (past, x + bias), new = x + bias."""
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    bias = onnx.numpy_helper.from_array(np.arange(WIDTH, dtype=np.float32), "bias")
    if location:
        onnx.external_data_helper.set_external_data(bias, location)
        bias.data_location = onnx.TensorProto.EXTERNAL
        bias.ClearField("raw_data")
    nodes = [
        helper.make_node("Add", ["x", "bias"], ["new"]),
        helper.make_node("Concat", ["past", "new"], ["all"], axis=0),
        helper.make_node("ReduceSum", ["all"], ["total"], keepdims=0),
    ]
    made = helper.make_graph(
        nodes,
        "sums",
        [
            helper.make_tensor_value_info("x", real, ["sequence", WIDTH]),
            helper.make_tensor_value_info("past", real, ["past", WIDTH]),
        ],
        [
            helper.make_tensor_value_info("total", real, []),
            helper.make_tensor_value_info("new", real, ["sequence", WIDTH]),
        ],
        [bias],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(made, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def program(content: bytes) -> Program:
    return Program(
        where="graphs/sums.onnx",
        graph=content,
        inputs=(X, PAST),
        outputs=(port("total"), NEW),
    )


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)
