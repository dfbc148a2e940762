"""Pieces of a graph: what lies between some of its tensors and others."""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Port


def piece(model: onnx.ModelProto, cuts: Iterable[Port], outputs: Iterable[Port]) -> onnx.ModelProto:
    """Cut out the part of a graph that computes `outputs`, with the tensors of `cuts` given.

    The piece takes the cuts that it needs, and those of the graph's own inputs that still lead to
    its outputs; weights stay where they are, external ones too. CheckError where a tensor is not in
    the graph.
    """
    graph, given = model.graph, {port.name: port for port in cuts}
    wanted = {port.name: port for port in outputs}
    made = {name: node for node in graph.node for name in node.output}
    ends = {each.name for each in (*graph.input, *graph.initializer)}
    if missing := [name for name in (*given, *wanted) if name not in made and name not in ends]:
        raise CheckError(f"the graph has no tensor named {', '.join(missing)}")
    needed = _needed(made, set(given), list(wanted))
    kept = [node for node in graph.node if any(name in needed for name in node.output)]
    read = {name for node in kept for name in _reads(node)}
    cut = onnx.ModelProto()
    cut.ir_version = model.ir_version
    cut.opset_import.extend(model.opset_import)
    cut.graph.name = graph.name
    cut.graph.node.extend(kept)
    cut.graph.initializer.extend(each for each in graph.initializer if each.name in read)
    cut.graph.input.extend(_value(port) for name, port in given.items() if name in read)
    cut.graph.input.extend(each for each in graph.input if each.name in read - given.keys())
    cut.graph.output.extend(map(_value, wanted.values()))
    return cut


def _needed(made: dict[str, onnx.NodeProto], given: set[str], wanted: list[str]) -> set[str]:
    """Give the tensors that must be computed, from the wanted ones back to what is given."""
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in made and name not in needed and name not in given:
            needed.update(made[name].output)
            wanted.extend(_reads(made[name]))
    return needed


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Give what a node reads, and what the graphs within it read from around it."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for each in inner.node:
                yield from _reads(each)


def _value(port: Port) -> onnx.ValueInfoProto:
    sizes = [axis.low if axis.static else axis.name for axis in port.axes]
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return onnx.helper.make_tensor_value_info(port.name, kind, sizes)
