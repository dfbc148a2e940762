"""A piece of a graph computes what the whole does between the same tensors."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgespark.engines.pieces import piece
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Axis, Port

AXES = (Axis(name="n", low=1, high=4),)
X, SHIFT, MIDDLE, OUT = (
    Port(name=name, dtype="float32", axes=AXES) for name in ("x", "shift", "middle", "out")
)


@pytest.fixture
def model() -> onnx.ModelProto:
    """Compute out = (x * two + shift) * two, where shift counts only if it is positive."""
    two = numpy_helper.from_array(np.array([2], np.float32), "two")
    value = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("Add", ["double", "shift"], ["added"])],
        "then",
        [],
        [value("added", TensorProto.FLOAT, ["n"])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["double"], ["same"])],
        "else",
        [],
        [value("same", TensorProto.FLOAT, ["n"])],
    )
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("ReduceMin", ["shift"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["middle"], then_branch=inner, else_branch=other),
        helper.make_node("Mul", ["middle", "two"], ["out"]),
    ]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    ports = [value(name, TensorProto.FLOAT, ["n"]) for name in ("x", "shift")]
    graph = helper.make_graph(
        nodes, "whole", ports, [value("out", TensorProto.FLOAT, ["n"])], [two, zero]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def opened(model: onnx.ModelProto, inputs: tuple[Port, ...], output: Port) -> Session:
    onnx.checker.check_model(model, full_check=True)
    program = Program(
        where="piece", graph=model.SerializeToString(), inputs=inputs, outputs=(output,)
    )
    return backend("onnxruntime").open_session(program)


def test_the_pieces_in_turn_compute_what_the_whole_does(model: onnx.ModelProto) -> None:
    x, shift = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    first = opened(piece(model, [], [MIDDLE]), (X, SHIFT), MIDDLE)
    second = opened(piece(model, [MIDDLE], [OUT]), (MIDDLE,), OUT)
    middle = first.run({"x": x, "shift": shift})["middle"]
    np.testing.assert_array_equal(middle, x * 2 + shift)
    np.testing.assert_array_equal(second.run({"middle": middle})["out"], middle * 2)


def test_a_piece_has_only_the_weights_and_inputs_it_reads(model: onnx.ModelProto) -> None:
    cut = piece(model, [MIDDLE], [OUT]).graph
    assert [each.name for each in cut.input] == ["middle"]
    assert [each.name for each in cut.initializer] == ["two"]
    assert [node.op_type for node in cut.node] == ["Mul"]


def test_a_tensor_that_is_not_there_is_named(model: onnx.ModelProto) -> None:
    ghost = Port(name="ghost", dtype="float32", axes=AXES)
    with pytest.raises(CheckError, match="no tensor named ghost"):
        piece(model, [ghost], [OUT])
