"""Linear layers as MatMul(x, weight [in, out]): no Transpose, no Gemm stands before a weight."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import onnx
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.absent import is_absent, transpose

Readers = dict[str, list[tuple[NodeProto, int]]]
MATRIX = 2  # axes
INSIDE = -1  # the place of a tensor that a graph within the node reads
GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def readers(graph: onnx.GraphProto) -> Readers:
    """List for each tensor the nodes that read it, and at which input."""
    found: Readers = defaultdict(list)
    for node in graph.node:
        for place, name in enumerate(node.input):
            found[name].append((node, place))
        for name in _inner(node):
            found[name].append((node, INSIDE))
    return found


def straighten(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give each absent matrix the layout in which the MatMuls read it.

    A Gemm becomes MatMul and Add; a Transpose whose result only MatMuls read as their second input
    goes, and the matrix is stored the other way round.
    """
    graph = model.graph
    matrices = {
        each.name: each
        for each in graph.initializer
        if is_absent(each) and len(each.dims) == MATRIX
    }
    put(graph, (new for node in graph.node for new in _split(node, matrices)))
    _drop_transposes(graph, matrices)
    return model


def _inner(node: NodeProto) -> Iterator[str]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for each in graph.node:
                yield from each.input
                yield from _inner(each)


def put(graph: onnx.GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Let these be the graph's nodes, in this order."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def _split(node: NodeProto, matrices: dict[str, TensorProto]) -> list[NodeProto]:
    """Write a plain Gemm on an absent matrix as MatMul and Add; leave any other node as it is."""
    if node.op_type != "Gemm" or node.input[1] not in matrices:
        return [node]
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if {**GEMM, **given, "transB": 0} != GEMM:
        return [node]
    x, weight, *bias = node.input
    out = node.output[0]
    nodes = []
    if given.get("transB"):
        nodes.append(helper.make_node("Transpose", [weight], [f"{out}.transposed"], perm=[1, 0]))
        weight = f"{out}.transposed"
    product = f"{out}.product" if bias else out
    nodes.append(helper.make_node("MatMul", [x, weight], [product], product))
    if bias:
        nodes.append(helper.make_node("Add", [product, *bias], [out], out))
    return nodes


def _drop_transposes(graph: onnx.GraphProto, matrices: dict[str, TensorProto]) -> None:
    reads = readers(graph)
    given = {each.name for each in graph.output}
    dropped: dict[str, str] = {}
    for name, tensor in matrices.items():
        turned = [node.output[0] for node, _ in reads[name] if _turns(node)]
        products = [pair for each in turned for pair in reads[each]]
        if len(turned) < len(reads[name]) or not turned or given & set(turned):
            continue
        if all(node.op_type == "MatMul" and place == 1 for node, place in products):
            transpose(tensor)
            dropped |= dict.fromkeys(turned, name)
    put(graph, [node for node in graph.node if not dropped.keys() & set(node.output)])
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = dropped.get(name, name)


def _turns(node: NodeProto) -> bool:
    perms = [list(each.ints) for each in node.attribute if each.name == "perm"]
    return node.op_type == "Transpose" and perms in ([], [[1, 0]])
