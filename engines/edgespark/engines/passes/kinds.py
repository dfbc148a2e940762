"""The dtype and the sizes of every tensor of a graph, weights that are still absent among them."""

import onnx
from onnx import TensorProto, ValueInfoProto

from edgespark.runtime.errors import CheckError

Sizes = tuple[int, ...]


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Return the ONNX dtype of each tensor by its name; CheckError where one cannot be told."""
    values = _values(model)
    found = {each.name: each.type.tensor_type.elem_type for each in values.values()}
    found |= {each.name: each.data_type for each in model.graph.initializer}
    made = (name for node in model.graph.node for name in node.output if name)
    if unknown := [name for name in made if name not in found]:
        raise CheckError(f"no dtype can be told for {', '.join(unknown)}: no valid graph")
    return found


def sizes(model: onnx.ModelProto) -> dict[str, Sizes]:
    """Return the sizes of each tensor for one sample: every open axis of an input counts one.

    An axis whose size cannot be told even then counts one too.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    found = {
        name: tuple(dim.dim_value if dim.HasField("dim_value") else 1 for dim in held.shape.dim)
        for name, value in _values(fixed).items()
        if (held := value.type.tensor_type).HasField("shape")
    }
    return found | {each.name: tuple(each.dims) for each in model.graph.initializer}


def _values(model: onnx.ModelProto) -> dict[str, ValueInfoProto]:
    small = _without_data(model)
    graph = onnx.shape_inference.infer_shapes(small, data_prop=True).graph
    return {each.name: each for each in (*graph.input, *graph.value_info, *graph.output)}


def _without_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy to infer from, in which large weights are inputs: their data is not needed."""
    made = onnx.ModelProto()
    made.ir_version = model.ir_version
    made.opset_import.extend(model.opset_import)
    graph = made.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for each in model.graph.initializer:
        if each.data_type == TensorProto.INT64:
            graph.initializer.append(each)
        else:
            graph.input.append(
                onnx.helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
            )
    return made
