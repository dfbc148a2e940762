"""Rows that are given out are selected as early as rows are computed one by one."""

import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Wiring, copied, put, wiring

__all__ = ["early_select"]

ROWS = 1  # the axis of [batch, sequence, width]
PRODUCTS = ("MatMul", "MatMulNBits")
ROW_WISE = (
    *PRODUCTS,
    "Add",
    "Mul",
    "Sigmoid",
    "QuickGelu",
    "Split",
    "LayerNormalization",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
)


def early_select(model: onnx.ModelProto, select: str) -> onnx.ModelProto:
    """Move a Gather of rows, by the input `select`, to before what computes each row by itself.

    Needs: activations are [batch, sequence, width]; operators work along the last axis.
    Gives: the same function; tensors behind the selection keep their names, with fewer rows. A
    decoder's last layer then does for the selected rows alone what comes behind attention.
    """
    made = copied(model)
    seen = wiring(made.graph)
    gathers = [node for node in made.graph.node if _selects(node, select, seen)]
    if len(gathers) != 1:
        return made
    (gather,) = gathers
    gather.input[1] = select
    region = _region(made.graph, gather, seen)
    if not any(node.op_type in PRODUCTS for node in region):
        return made
    _move(made.graph, gather, region, seen)
    sweep(made.graph)
    return made


def _selects(node: NodeProto, select: str, seen: Wiring) -> bool:
    """Tell whether this gathers rows by the input, which may have been flattened, being flat."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
    if node.op_type != "Gather" or axis != ROWS:
        return False
    flat = seen.makers.get(node.input[1])
    if flat is None or flat.op_type != "Reshape":
        return bool(node.input[1] == select)
    sizes = seen.constant(flat.input[1])
    return flat.input[0] == select and sizes is not None and sizes.tolist() == [-1]


def _region(graph: onnx.GraphProto, gather: NodeProto, seen: Wiring) -> list[NodeProto]:
    """List the nodes, last first, whose results only the selection depends on."""
    inside = {id(gather)}
    found = []
    for node in reversed(graph.node):
        readers = [each for name in node.output if name for each, _ in seen.readers.get(name, [])]
        if (
            readers
            and all(id(each) in inside for each in readers)
            and seen.outputs.isdisjoint(node.output)
            and _is_row_wise(node, seen)
        ):
            inside.add(id(node))
            found.append(node)
    return found


def _is_row_wise(node: NodeProto, seen: Wiring) -> bool:
    if node.op_type not in ROW_WISE:
        return False
    constants = [name for name in node.input if name in seen.weights]
    if node.op_type in PRODUCTS:
        return node.input[0] not in constants and node.input[1] in constants
    return all(len(seen.weights[name].dims) <= 1 for name in constants)


def _move(graph: onnx.GraphProto, gather: NodeProto, region: list[NodeProto], seen: Wiring) -> None:
    made = {name for node in region for name in node.output}
    given = {each.name for each in graph.input}
    rows: dict[str, str] = {}
    for node in region:
        for place, name in enumerate(node.input):
            if name and name not in made and name not in seen.weights:
                node.input[place] = rows.setdefault(name, f"{name}.selected")
    old, new = gather.input[0], gather.output[0]
    for node in region:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = new if name == old else name
    nodes = [_gather(name, rows, gather) for name in rows if name in given]
    for node in graph.node:
        if node.output[0] != new or node in region:
            nodes.append(node)
        nodes += [_gather(name, rows, gather) for name in node.output if name in rows]
    put(graph, nodes)


def _gather(name: str, rows: dict[str, str], like: NodeProto) -> NodeProto:
    out = rows[name]
    return helper.make_node("Gather", [name, like.input[1]], [out], out, axis=ROWS)
