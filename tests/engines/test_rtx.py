"""tensorrt-rtx builds our graphs without a GPU, and what it refuses is told by node and reason."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgespark.engines import rtx
from edgespark.engines.passes.quantize import quantize
from edgespark.engines.rtx import Kernel, Span, build, node_names, spans
from edgespark.runtime.errors import CheckError, InputError, MissingExtra
from edgespark.runtime.manifest import Axis, Port

needs_the_library = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed"
)
SHAPES = {"x": Span(low=(1, 4, 32), typical=(2, 4, 32), high=(8, 4, 32))}
REPORT = """Layers:
Name: sum, LayerType: shape_call, Inputs: [], Outputs: [], TacticName: , Metadata: none
Name: m_myl0_2, LayerType: gemm, Inputs: [ { Name: xq, Datatype: Int8, Format: row }], \
Constants: [ { Name: w, Datatype: Int8 }, { Name: beta, Datatype: Float }], \
Outputs: [ { Name: y, Datatype: Half }], TacticName: t, StreamId: 0, \
Metadata: [ONNX Layer: node_of_m][ONNX Layer: wide]

I/O Tensors:
 Name: x, IOMode: Input, DataType: Float
"""


def graph(nodes: list[NodeProto], weights: Mapping[str, NDArray[Any]]) -> bytes:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 48])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())


def half() -> bytes:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Identity", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["wide"], ["y"]),
    ]
    return graph(nodes, {"w": drawn((32, 48)).astype(np.float16)})


def coded(scale: float = 0.02) -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="round"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "steps"], ["wide"], axis=1),
        helper.make_node("MatMul", ["d", "wide"], ["y"]),
    ]
    codes = np.rint(drawn((32, 48)) * 30).astype(np.int8)
    steps = np.full(48, 0.01, np.float32)
    step = np.array(scale, np.float32)
    return graph(nodes, {"w": codes, "steps": steps, "s": step, "z": np.zeros((), np.int8)})


def drawn(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@needs_the_library
def test_a_half_precision_graph_builds_and_multiplies_in_half_precision() -> None:
    made = build(half(), SHAPES)
    assert made.plan
    assert made.seconds > 0
    (product,) = [each for each in made.kernels if "node_of_m" in each.nodes]
    assert set(product.reads[:2]) == {"Half"}


@needs_the_library
def test_a_quantised_graph_builds_and_multiplies_in_int8(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(coded())
    assert build(path, SHAPES).in_int8("node_of_y")
    assert not build(half(), SHAPES).in_int8("node_of_m")


@needs_the_library
def test_a_convolution_that_was_quantised_multiplies_in_int8() -> None:
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 16, 16]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 14, 14]),
    ]
    weight = numpy_helper.from_array(drawn((8, 2, 3, 3)), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3])
    made = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    narrow = quantize(model, {"y"}, {"x": 3.0}).SerializeToString()
    shapes = {"x": Span(low=(1, 2, 16, 16), typical=(1, 2, 16, 16), high=(4, 2, 16, 16))}
    assert build(narrow, shapes).in_int8("node_of_y")


@needs_the_library
def test_an_input_may_be_empty() -> None:
    shapes = {"x": Span(low=(0, 4, 32), typical=(2, 4, 32), high=(8, 4, 32))}
    assert build(half(), shapes).plan


@needs_the_library
def test_what_it_cannot_take_is_told_with_operator_node_and_reason() -> None:
    with pytest.raises(CheckError, match=r"QuantizeLinear 'round': .*must all be positive"):
        build(coded(scale=0.0), SHAPES)


@needs_the_library
def test_what_it_cannot_build_is_told_with_the_reason() -> None:
    shapes = {"x": Span(low=(1, 4, 31), typical=(2, 4, 31), high=(8, 4, 31))}
    with pytest.raises(CheckError, match=r"cannot build it: .*min=31"):
        build(half(), shapes)


@needs_the_library
@pytest.mark.parametrize("data", [b"", b"no graph at all"])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(CheckError, match="tensorrt-rtx cannot"):
        build(data, {})


@needs_the_library
def test_an_input_without_shapes_is_refused() -> None:
    with pytest.raises(CheckError, match="no port says which shapes the inputs x may have"):
        build(half(), {})


@needs_the_library
@pytest.mark.parametrize("targets", [(), ("SM80", "SM3"), ("CURRENT",)])
def test_targets_that_it_does_not_know_are_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"targets: .*tensorrt-rtx knows .*SM89"):
        build(half(), SHAPES, targets)


def test_without_the_library_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[rtx\]'"):
        build(half(), SHAPES)


class Refusing:
    """Stands for a parser that refuses one node."""

    num_errors = 1

    def parse(self, _: bytes) -> bool:
        return False

    def get_error(self, _: int) -> SimpleNamespace:
        text = "no such form\n[checkMacros.cpp::catchCudaError::250] Error Code 1: no driver"
        return SimpleNamespace(
            node_operator=lambda: "Loop", node_name=lambda: "turn", desc=lambda: text
        )


def test_a_refusal_leaves_out_that_there_is_no_driver() -> None:
    with pytest.raises(CheckError) as caught:
        rtx._parse(Refusing(), b"")
    assert str(caught.value) == "tensorrt-rtx cannot take it: Loop 'turn': no such form"


def test_the_kernels_are_read_from_what_the_builder_reports() -> None:
    _, product = rtx._kernels(["another line", REPORT])
    assert product == Kernel(
        name="m_myl0_2",
        kind="gemm",
        reads=("Int8", "Int8", "Float"),
        gives=("Half",),
        nodes=("node_of_m", "wide"),
    )
    assert product.operands == ("Int8", "Int8")
    assert list(rtx._kernels(["another line"])) == []


def test_nodes_without_a_name_are_called_by_what_they_give() -> None:
    nodes = onnx.load_from_string(coded()).graph.node
    assert node_names(nodes)["q"] == "round"
    assert node_names(nodes)["y"] == "node_of_y"


def test_shapes_come_from_the_axes_of_the_ports() -> None:
    axes = [Axis(name="past", low=0, high=511), Axis(name="batch", low=1, high=64)]
    port = Port(name="k", dtype="float32", axes=(*axes, Axis(name="heads", low=6, high=6)))
    assert spans([port]) == {"k": Span(low=(0, 1, 6), typical=(256, 1, 6), high=(511, 64, 6))}


@pytest.mark.parametrize("low", [(3, 1), (1,), (-1, 1)])
def test_shapes_out_of_order_are_refused(low: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Span(low=low, typical=(2, 1), high=(8, 1))
