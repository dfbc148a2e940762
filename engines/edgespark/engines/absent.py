"""Graphs whose weights are not there yet: initializers with a name, a dtype and a shape, no data.

Such a tensor is external data at no location, which every reader of ONNX refuses. It is called as
its module's parameter; where the graph has it as [in, out] and the module as [out, in], it says so.
"""

from collections.abc import Sequence

import onnx
from onnx import TensorProto

from edgespark.engines.graphs import check

LOCATION = "location"
TRANSPOSED = "transposed"  # the key of an entry beside the location


def absent(name: str, kind: int, dims: Sequence[int]) -> TensorProto:
    """Make an initializer without data; `kind` is its ONNX dtype."""
    tensor = TensorProto(
        name=name, data_type=kind, dims=dims, data_location=TensorProto.DataLocation.EXTERNAL
    )
    tensor.external_data.add(key=LOCATION, value="")
    return tensor


def transpose(tensor: TensorProto) -> None:
    """Turn an absent matrix: the graph has [in, out] now where its module has [out, in]."""
    dims = list(reversed(tensor.dims))
    turned = not is_transposed(tensor)
    tensor.CopyFrom(absent(tensor.name, tensor.data_type, dims))
    if turned:
        tensor.external_data.add(key=TRANSPOSED, value="1")


def is_absent(tensor: TensorProto) -> bool:
    """Tell whether the tensor still waits for its data."""
    return tensor.data_location == TensorProto.DataLocation.EXTERNAL and not any(
        each.key == LOCATION and each.value for each in tensor.external_data
    )


def is_transposed(tensor: TensorProto) -> bool:
    """Tell whether the graph has an absent matrix the other way round than its module."""
    return any(each.key == TRANSPOSED for each in tensor.external_data)


def module_shape(tensor: TensorProto) -> tuple[int, ...]:
    """Return the shape that the parameter has in its module."""
    dims = tuple(tensor.dims)
    return dims[::-1] if is_transposed(tensor) else dims


def proven(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Prove a graph valid as `check` does, without looking for data outside of it.

    Raises CheckError otherwise.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    outside = [
        each
        for each in copy.graph.initializer
        if each.data_location == TensorProto.DataLocation.EXTERNAL
    ]
    for each in outside:
        copy.graph.input.append(
            onnx.helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
        )
        copy.graph.initializer.remove(each)
    check(copy, opset)
    return model
