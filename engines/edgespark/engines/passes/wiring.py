"""Who makes and who reads each tensor of a graph: what every pass asks first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeGuard, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgespark.engines.straighten import MATRIX, Readers, put, readers

__all__ = [
    "WORK",
    "Shape",
    "Wiring",
    "bias_of",
    "copied",
    "drop_unread",
    "ends",
    "exchange",
    "is_matrix",
    "put",
    "shapes",
    "stored",
    "wiring",
]

Shape = tuple[int | None, ...]

LARGE = 1024  # elements: no shape and no index is as long

WORK = ("MatMul", "Gemm", "Conv")
"""Operators that multiply and add: nearly all the work of a network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """The tensors of a graph by name: what makes them, what reads them, what they hold."""

    makers: Mapping[str, NodeProto]
    readers: Readers
    weights: Mapping[str, TensorProto]
    outputs: frozenset[str]

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return what an initializer of the graph holds; None for any other tensor."""
        found = self.weights.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def array(self, name: str) -> NDArray[np.generic]:
        """Return what an initializer of the graph holds; KeyError for any other tensor."""
        return numpy_helper.to_array(self.weights[name])

    def floats(self, name: str) -> NDArray[np.float32] | None:
        """Return what a float32 initializer holds; None for any other tensor."""
        found = self.constant(name)
        is_float = found is not None and found.dtype == np.float32
        return cast("NDArray[np.float32]", found) if is_float else None

    def sole_reader(self, name: str) -> NodeProto | None:
        """Return the one node that reads a tensor which is no output; None where it is not so."""
        found = self.readers.get(name, [])
        return found[0][0] if len(found) == 1 and name not in self.outputs else None


def wiring(graph: onnx.GraphProto) -> Wiring:
    """Look through a graph once; what is changed in it later does not show."""
    return Wiring(
        makers={name: node for node in graph.node for name in node.output if name},
        readers=readers(graph),
        weights={each.name: each for each in graph.initializer},
        outputs=frozenset(each.name for each in graph.output),
    )


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy to change: no pass changes the graph that it was given."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def stored(name: str, array: NDArray[np.generic]) -> TensorProto:
    """Make an initializer that holds the array itself."""
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def is_matrix(array: NDArray[np.generic] | None) -> TypeGuard[NDArray[np.float32]]:
    """Tell whether this is a float32 matrix: what a linear layer's weight is."""
    return array is not None and array.ndim == MATRIX and array.dtype == np.float32


def bias_of(
    node: NodeProto, seen: Wiring, width: int
) -> tuple[NodeProto, NDArray[np.float32]] | tuple[None, None]:
    """Find the Add of a constant vector [width] that alone reads a MatMul's result; None, None."""
    add = seen.sole_reader(node.output[0])
    if add is None or add.op_type != "Add":
        return None, None
    (other,) = [name for name in add.input if name != node.output[0]] or [""]
    bias = seen.constant(other)
    if bias is None or bias.dtype != np.float32 or bias.shape != (width,):
        return None, None
    return add, cast("NDArray[np.float32]", bias)


def shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Infer the shape of each tensor that has one; None for an axis that may vary."""
    graph = onnx.shape_inference.infer_shapes(_light(model), data_prop=True).graph
    return {
        each.name: tuple(
            axis.dim_value if axis.HasField("dim_value") else None
            for axis in each.type.tensor_type.shape.dim
        )
        for each in (*graph.input, *graph.value_info, *graph.output)
        if each.type.tensor_type.HasField("shape")
    }


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out what large weights hold: inference of shapes copies and serialises the model."""
    made = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = model.graph
    made.graph.name = graph.name
    made.graph.node.extend(graph.node)
    made.graph.input.extend(graph.input)
    made.graph.output.extend(graph.output)
    for each in graph.initializer:
        if prod(each.dims) > LARGE:
            made.graph.input.append(
                helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
            )
        else:
            made.graph.initializer.append(each)
    return made


def exchange(graph: onnx.GraphProto, node: NodeProto, place: int, array: NDArray[Any]) -> None:
    """Let a constant input of a node hold something else, for this node alone."""
    name = node.input[place]
    reads = sum(each == name for other in graph.node for each in other.input)
    tensor = next(each for each in graph.initializer if each.name == name)
    if reads > 1:
        name = f"{node.output[0]}.constant{place}"
        node.input[place] = name
        tensor = graph.initializer.add()
    tensor.CopyFrom(stored(name, array))


def drop_unread(graph: onnx.GraphProto, names: Iterable[str]) -> None:
    """Remove those initializers that nothing reads any more."""
    read = readers(graph)
    for each in [each for each in graph.initializer if each.name in set(names) - read.keys()]:
        graph.initializer.remove(each)


def ends(graph: onnx.GraphProto) -> set[str]:
    """Name the tensors that are outputs, up to a bias that is added to them."""
    found = {each.name for each in graph.output}
    weights = {each.name for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Add" and node.output[0] in found and weights & set(node.input):
            found |= set(node.input) - weights
    return found
