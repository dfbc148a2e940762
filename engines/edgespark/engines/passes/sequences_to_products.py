"""Convs along a sequence as products: each token with its neighbours is one row."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import Wiring, copied, drop_unread, put, stored, wiring

__all__ = ["sequences_to_products"]

AXES = 3  # [batch, channels, tokens]
TURN = [0, 2, 1]
MOST = 16  # places of a kernel: a row holds as many tokens
END = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """One Conv along a sequence.

    `step` is the distance of the kernel's places, `pads` are zeros before and after the sequence,
    `turn` is the Transpose to [batch, tokens, channels] where nothing else reads the Conv.
    """

    node: NodeProto
    weight: NDArray[np.generic]
    step: int
    pads: tuple[int, int]
    turn: NodeProto | None


def sequences_to_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each Conv along one axis, in steps of one, as a MatMul with an Add.

    Needs: a constant kernel of at most MOST places, one group; any other Conv stays.
    Gives: the same function, for any length and batch. The Conv's tensor keeps its name and value,
    unless all that was read of it is its Transpose [batch, tokens, channels]: that keeps its own.

    ONNX Runtime has an int8 Conv only with rounded results; an int8 MatMul gives floats.
    """
    made = copied(model)
    seen = wiring(made.graph)
    found = [each for node in made.graph.node if (each := _sequence(node, seen))]
    turned = {each.node.output[0]: _products(made.graph, each) for each in found}
    gone = {each.turn.output[0] for each in found if each.turn is not None}
    put(
        made.graph,
        [
            new
            for node in made.graph.node
            if node.output[0] not in gone
            for new in turned.get(node.output[0], [node])
        ],
    )
    drop_unread(made.graph, [each.node.input[1] for each in found])
    return made


def _sequence(node: NodeProto, seen: Wiring) -> Sequence | None:
    weight = seen.constant(node.input[1]) if node.op_type == "Conv" else None
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if weight is None or weight.ndim != AXES or weight.shape[2] > MOST:
        return None
    plain = given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    if not plain or list(given.get("strides", [1])) != [1] or given.get("group", 1) != 1:
        return None
    before, after = given.get("pads", [0, 0])
    reader = seen.sole_reader(node.output[0])
    turns = reader is not None and reader.op_type == "Transpose" and _perm(reader) == TURN
    return Sequence(
        node=node,
        weight=weight,
        step=given.get("dilations", [1])[0],
        pads=(before, after),
        turn=reader if turns else None,
    )


def _perm(node: NodeProto) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == "perm"), [])


def _products(graph: onnx.GraphProto, found: Sequence) -> list[NodeProto]:
    out, bias = found.node.output[0], list(filter(None, found.node.input[2:]))
    tokens = f"{out}.tokens" if found.turn is None else found.turn.output[0]
    product = f"{out}.product" if bias else tokens
    # [out, in, places] → [places x in, out]
    matrix = found.weight.transpose(2, 1, 0).reshape(-1, len(found.weight))
    graph.initializer.append(stored(f"{out}.matrix", matrix))
    nodes = [
        *_rows(graph, found),
        helper.make_node("MatMul", [f"{out}.rows", f"{out}.matrix"], [product]),
        *(helper.make_node("Add", [product, each], [tokens]) for each in bias),
    ]
    if found.turn is None:
        nodes.append(helper.make_node("Transpose", [tokens], [out], perm=TURN))
    for node in nodes:
        node.name = node.output[0]
    return nodes


def _rows(graph: onnx.GraphProto, found: Sequence) -> list[NodeProto]:
    """Lay out [batch, channels, tokens] as [batch, tokens, places x channels]."""
    x, out, places = found.node.input[0], found.node.output[0], found.weight.shape[2]
    nodes = []
    if any(found.pads):
        before, after = found.pads
        graph.initializer.append(stored(f"{out}.pads", np.array([0, 0, before, 0, 0, after])))
        nodes.append(helper.make_node("Pad", [x, f"{out}.pads"], [f"{out}.padded"]))
        x = f"{out}.padded"
    turned = f"{out}.turned" if places > 1 else f"{out}.rows"
    nodes.append(helper.make_node("Transpose", [x], [turned], perm=TURN))
    if places > 1:
        pieces = [f"{out}.place{place}" for place in range(places)]
        for place, piece in enumerate(pieces):
            nodes.append(_place(graph, found, turned, place, piece))
        nodes.append(helper.make_node("Concat", pieces, [f"{out}.rows"], axis=2))
    return nodes


def _place(
    graph: onnx.GraphProto, found: Sequence, turned: str, place: int, piece: str
) -> NodeProto:
    """Give the tokens that one place of the kernel meets."""
    rest = (found.weight.shape[2] - 1 - place) * found.step
    ends = np.array([-rest if rest else END])
    graph.initializer.extend(
        [
            stored(f"{piece}.start", np.array([place * found.step])),
            stored(f"{piece}.end", ends),
            stored(f"{piece}.axis", np.array([1])),
        ]
    )
    names = [f"{piece}.{each}" for each in ("start", "end", "axis")]
    return helper.make_node("Slice", [turned, *names], [piece])
