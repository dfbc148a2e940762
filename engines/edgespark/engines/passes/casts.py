"""Float16 in a float32 graph: which constants it can hold, and the Casts at its borders.

A tensor `x` may have a twin `x.half`. Either `x` is made in float32, and a Cast narrows it to
`x.half`; or `x.half` is made in float16, and a Cast widens it to `x`.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgespark.engines.absent import is_absent
from edgespark.engines.passes.kinds import kinds
from edgespark.engines.passes.moves import MEASURES
from edgespark.engines.passes.wiring import put, stored, wiring

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LARGEST = 65504.0  # of float16
SMALLEST = 2.0**-14  # what is nearer to zero loses digits


def half_of(name: str) -> str:
    """Name the float16 twin of a float32 tensor."""
    return f"{name}.half"


def narrows(node: NodeProto) -> bool:
    """Tell whether the node makes a tensor's twin of the tensor."""
    return node.op_type == "Cast" and node.output[0] == half_of(node.input[0])


def widens(node: NodeProto) -> bool:
    """Tell whether the node makes a tensor of its twin."""
    return node.op_type == "Cast" and node.input[0] == half_of(node.output[0])


def unfit(weight: TensorProto) -> str:
    """Say why float16 cannot hold a constant; "" where it can, or the constant is still absent.

    Some of its numbers may be so near to zero that they lose digits, but not all of them.
    """
    if weight.data_type != FLOAT or is_absent(weight):
        return ""
    peak = float(np.abs(numpy_helper.to_array(weight)).max(initial=0))
    if not peak <= LARGEST:
        return f"the constant {weight.name} reaches {peak:.3g}, beyond float16"
    if 0 < peak < SMALLEST:
        return f"the constant {weight.name} is {peak:.3g} at most: float16 has no digits for it"
    return ""


def narrowed(model: onnx.ModelProto, chosen: AbstractSet[str]) -> onnx.ModelProto:
    """Let the nodes that make the tensors `chosen` compute in float16; changes the graph.

    Each float32 tensor that such a node reads or makes must fit float16. Afterwards the node has
    the twins in their place. Other nodes, and the graph's outputs, have what they had, rounded. A
    constant that only such nodes read is stored as float16. No Cast stays that nothing reads.
    """
    graph, found = model.graph, kinds(model)
    ours = [node for node in graph.node if not chosen.isdisjoint(node.output)]
    _store(graph, ours)
    found |= {each.name: each.data_type for each in graph.initializer}
    made, read = _floats(ours, "output", found), _floats(ours, "input", found)
    for node in ours:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = half_of(name) if found.get(name) == FLOAT else name
    kept = [node for node in graph.node if not (narrows(node) and node.input[0] in made)]
    put(graph, _bordered(graph, kept, made, read))
    return _swept(model)


def _floats(
    nodes: Iterable[NodeProto], field: Literal["input", "output"], found: Mapping[str, int]
) -> set[str]:
    names = (name for node in nodes for name in getattr(node, field))
    return {name for name in names if found.get(name) == FLOAT}


def _store(graph: onnx.GraphProto, ours: list[NodeProto]) -> None:
    """Store as float16 the float32 constants that no other node reads."""
    wires, own = wiring(graph), {node.output[0] for node in ours}
    for name, weight in wires.weights.items():
        read_by = {node.output[0] for node, _ in wires.readers.get(name, [])}
        if weight.data_type == FLOAT and read_by and read_by <= own and name not in wires.outputs:
            weight.CopyFrom(_as_half(weight))


def _as_half(weight: TensorProto) -> TensorProto:
    if not is_absent(weight):
        return stored(weight.name, numpy_helper.to_array(weight).astype(np.float16))
    made = TensorProto()
    made.CopyFrom(weight)
    made.data_type = HALF
    return made


def _bordered(
    graph: onnx.GraphProto, nodes: list[NodeProto], made: set[str], read: set[str]
) -> Iterator[NodeProto]:
    """Give the nodes, and each Cast right behind what makes the tensor that it reads."""
    twins = {name for node in nodes for name in node.output}
    down = {name for name in read if half_of(name) not in twins}
    wide = {half_of(name): name for name in made}
    given = [each.name for each in (*graph.input, *graph.initializer)]
    yield from (_cast(name, half_of(name), HALF) for name in given if name in down)
    for node in nodes:
        yield node
        for name in node.output:
            if name in down:
                yield _cast(name, half_of(name), HALF)
            if name in wide:
                yield _cast(name, wide[name], FLOAT)


def _cast(x: str, out: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [x], [out], out, to=kind)


def _swept(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the Casts of ours that nothing reads but for its shape."""
    graph = model.graph
    wide = {node.output[0] for node in graph.node if widens(node)}
    for node in graph.node:
        if node.op_type in MEASURES and node.input[0] in wide:
            node.input[0] = half_of(node.input[0])
    wires = wiring(graph)
    needed = wires.readers.keys() | wires.outputs
    put(
        graph,
        [
            node
            for node in graph.node
            if node.output[0] in needed or not (narrows(node) or widens(node))
        ],
    )
    return model
