"""Small graphs as text, and how they are run: node by node, or after ONNX Runtime's optimiser."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import parser

from edgespark.engines.graphs import check
from edgespark.engines.passes.kinds import kinds
from edgespark.engines.passes.wiring import stored

Array = NDArray[Any]


def graph(text: str, weights: Mapping[str, Array], opset: int = 18) -> onnx.ModelProto:
    """Make a checked model of a graph in ONNX's textual syntax, with these initializers."""
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> {text}')
    model.graph.initializer.extend(stored(name, array) for name, array in weights.items())
    return check(model, opset)


def run(
    model: onnx.ModelProto, fed: Mapping[str, Array], *, optimised: bool = False
) -> dict[str, Array]:
    """Run a graph and give its outputs; without the optimiser float16 is emulated."""
    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(fed)), strict=True))


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def halves(model: onnx.ModelProto) -> set[str]:
    """Name the constants that are float16, and what nodes of the float32 graph make as float16."""
    known = kinds(model)
    names = {each.name for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Cast", "Identity"):
            names |= set(node.output)
    narrow = {name for name in names if known[name] == onnx.TensorProto.FLOAT16}
    return {name.removesuffix(".exact").removesuffix(".half") for name in narrow}


def computed_in(model: onnx.ModelProto) -> dict[str, set[int]]:
    """Give for each operator the dtypes of what its nodes make."""
    found: dict[str, set[int]] = {}
    known = kinds(model)
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).update(known[name] for name in node.output)
    return found


def half(array: Array) -> NDArray[np.float32]:
    """Round to float16 and back: to even, with subnormals, infinite beyond."""
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def node_by_node(model: onnx.ModelProto, fed: Mapping[str, Array]) -> dict[str, Array]:
    """Give every tensor of a typed graph: each node alone in float32, its float16 then rounded."""
    known = kinds(model)
    found: dict[str, Array] = {"": np.zeros(0, np.float32), **fed}
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        found[each.name] = array.astype(np.float32) if array.dtype == np.float16 else array
    for node in model.graph.node:
        made = _alone(node, found, model.opset_import[0].version)
        for name, array in zip(node.output, made, strict=True):
            narrow = known[name] == onnx.TensorProto.FLOAT16
            found[name] = half(array) if narrow else array
    return found


def _alone(node: onnx.NodeProto, found: Mapping[str, Array], opset: int) -> list[Array]:
    if node.op_type in ("Identity", "Cast") and found[node.input[0]].dtype == np.float32:
        return [found[node.input[0]]]
    inputs = [name for name in dict.fromkeys(node.input) if name]
    values = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(found[name].dtype), found[name].shape
        )
        for name in inputs
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    made = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", values, outputs),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=10,
    )
    return list(run(made, {name: found[name] for name in inputs}).values())
