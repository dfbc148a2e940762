"""Attention as one operator of ONNX Runtime: it never lays out the weights of all pairs at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Shape, Wiring, copied, put, shapes, wiring

__all__ = ["fused_attention"]

HEADS_FIRST = [0, 2, 1, 3]  # turns [batch, tokens, heads, width] to [batch, heads, tokens, width]
KEYS = [0, 2, 3, 1]  # turns it to what queries are multiplied with
AXES = 3  # of what attention reads and gives: [batch, tokens, heads x width]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Heads:
    """A tensor cut into heads: what was cut, how many there are, and how many wide each is."""

    whole: str
    heads: int
    width: int


def fused_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write softmax(scale x queries keys) values over heads as one MultiHeadAttention.

    Needs: float32. It takes attention without mask, whose queries, keys and values are cut by
    Reshape and Transpose from [batch, tokens, heads x width]: of sizes that the graph tells, or, as
    pieces of one tensor, with one axis of [batch, tokens] left open.
    Gives: the same function but for rounding (ONNX Runtime, contributed operators,
    MultiHeadAttention); what the heads were joined to keeps its name. Other attention stays.
    """
    made = copied(model)
    seen, known = wiring(made.graph), shapes(model)
    fused = {
        node.output[0]: each
        for node in made.graph.node
        if (each := _attention(node, seen, known)) is not None
    }
    if not fused:
        return made
    put(made.graph, [fused.get(node.output[0], node) for node in made.graph.node])
    sweep(made.graph)
    import_contributed(made)
    return made


def _attention(joined: NodeProto, seen: Wiring, known: Mapping[str, Shape]) -> NodeProto | None:
    """Read attention from the Reshape that joins the heads; None where this joins none."""
    turned = _made(joined.input[0], "Transpose", seen) if joined.op_type == "Reshape" else None
    if turned is None or not _turns(turned, HEADS_FIRST):
        return None
    mixed = _made(turned.input[0], "MatMul", seen)
    weights = _made(mixed.input[0], "Softmax", seen) if mixed is not None else None
    if mixed is None or weights is None or not _is_last(weights):
        return None
    product, scale = _scaled(weights.input[0], seen)
    scores = _made(product, "MatMul", seen)
    if scores is None:
        return None
    queries, by_queries = _scaled(scores.input[0], seen)
    keys, by_keys = _scaled(scores.input[1], seen)
    parts = [
        _heads(queries, HEADS_FIRST, seen, known),
        _heads(keys, KEYS, seen, known),
        _heads(mixed.input[1], HEADS_FIRST, seen, known),
    ]
    found = [each for each in parts if each is not None]
    if len(found) < len(parts) or not _is_one(found, joined.output[0], seen, known):
        return None
    return helper.make_node(
        "MultiHeadAttention",
        [each.whole for each in found],
        [joined.output[0]],
        joined.output[0],
        domain=CONTRIBUTED,
        num_heads=found[0].heads,
        scale=scale * by_queries * by_keys,
    )


def _made(name: str, operator: str, seen: Wiring) -> NodeProto | None:
    """Return what makes a tensor, if it is that operator."""
    node = seen.makers.get(name)
    return node if node is not None and node.op_type == operator and not node.domain else None


def _turns(node: NodeProto, perm: list[int]) -> bool:
    return any(list(each.ints) == perm for each in node.attribute)


def _is_last(softmax: NodeProto) -> bool:
    return all(each.i in (-1, len(HEADS_FIRST) - 1) for each in softmax.attribute)


def _scaled(name: str, seen: Wiring) -> tuple[str, float]:
    """Look through products with single numbers: what was multiplied, and by how much in all."""
    scale = 1.0
    while (node := _made(name, "Mul", seen)) is not None:
        numbers = [place for place, each in enumerate(node.input) if _number(each, seen)]
        if len(numbers) != 1:
            break
        scale *= float(np.asarray(seen.array(node.input[numbers[0]]), np.float32).item())
        name = node.input[1 - numbers[0]]
    return name, scale


def _number(name: str, seen: Wiring) -> bool:
    array = seen.floats(name)
    return array is not None and array.size == 1 and array.ndim <= AXES


def _heads(name: str, perm: list[int], seen: Wiring, known: Mapping[str, Shape]) -> _Heads | None:
    """Read a tensor that was cut into heads, and turned."""
    turned = _made(name, "Transpose", seen)
    cut = _made(turned.input[0], "Reshape", seen) if turned is not None else None
    if turned is None or cut is None or not _turns(turned, perm):
        return None
    *outer, heads, width = known.get(cut.output[0]) or (None, None)
    whole = cut.input[0]
    if heads is None or width is None or not _is_same(tuple(outer), known.get(whole, ())[:-1]):
        return None
    return _Heads(whole=whole, heads=heads, width=width)


def _is_same(left: Shape, right: Shape) -> bool:
    """Tell whether [batch, tokens] are the same: where one is open, the number of all tells it."""
    return len(left) == AXES - 1 and left == right and left.count(None) < len(left)


def _is_one(found: list[_Heads], joined: str, seen: Wiring, known: Mapping[str, Shape]) -> bool:
    """Tell whether queries, keys and values go together, and give what they are joined to."""
    queries, keys, values = found
    sides = [known[each.whole][:-1] for each in found]
    out = known.get(joined, ())
    # an axis that is open is the same in all three where they are pieces of one tensor
    makers = {id(seen.makers.get(each.whole, each)) for each in found}
    is_sure = None not in (*sides[0], *sides[1]) or len(makers) == 1
    return (
        queries.width == keys.width
        and queries.heads == keys.heads == values.heads
        and (len(out) == AXES and _is_same(out[:-1], sides[0]))
        and (is_sure and sides[0][0] == sides[1][0] and sides[1] == sides[2])
    )
