"""Patch embeddings as products: a Conv that steps by its own width reads each pixel once."""

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import (
    Shape,
    Wiring,
    copied,
    drop_unread,
    put,
    shapes,
    stored,
    wiring,
)

__all__ = ["patches_to_products"]

CHANNELS = 2  # a Conv's input is [batch, channels, …]
TOKENS = [0, 2, 1]  # [batch, channels, tokens] turned into [batch, tokens, channels]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patches:
    """One Conv that cuts [batch, channels, …] into patches without overlap or rest.

    `grid` tells how many patches there are along each axis, `size` how wide they are. Where only
    tokens are read of it, `tokens` is their tensor, and `between` what made them of the Conv's.
    """

    node: NodeProto
    weight: NDArray[np.generic]
    grid: tuple[int, ...]
    size: tuple[int, ...]
    tokens: str | None = None
    between: tuple[NodeProto, ...] = ()


def patches_to_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each Conv that only cuts into patches as a MatMul with an Add.

    Needs: a constant kernel of several places, as wide as its stride, no padding, one group, no
    dilation, and an image of known size of which nothing is left over; any other Conv stays.
    Gives: the same function, for any batch. The Conv's tensor keeps its name and value, unless all
    that was read of it are its tokens [batch, tokens, channels]: they keep theirs.
    """
    made = copied(model)
    seen, known = wiring(made.graph), shapes(model)
    found = [each for node in made.graph.node if (each := _patches(node, seen, known))]
    turned = {each.node.output[0]: _products(made.graph, each) for each in found}
    gone = {node.output[0] for each in found for node in each.between}
    put(
        made.graph,
        [
            new
            for node in made.graph.node
            if node.output[0] not in gone
            for new in turned.get(node.output[0], [node])
        ],
    )
    read = [*(each.node for each in found), *(node for each in found for node in each.between)]
    drop_unread(made.graph, [name for node in read for name in node.input[1:]])
    return made


def _patches(node: NodeProto, seen: Wiring, known: dict[str, Shape]) -> Patches | None:
    kernel = seen.constant(node.input[1]) if node.op_type == "Conv" else None
    if kernel is None or not _cuts(node, kernel.shape[CHANNELS:]):
        return None
    size = kernel.shape[CHANNELS:]
    grid = _grid(known.get(node.input[0], ())[CHANNELS:], size)
    if not grid:
        return None
    between = _turn(node, seen, (kernel.shape[0], prod(grid)))
    tokens = between[-1].output[0] if between else None
    return Patches(node=node, weight=kernel, grid=grid, size=size, tokens=tokens, between=between)


def _cuts(node: NodeProto, size: tuple[int, ...]) -> bool:
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return (
        prod(size) > 1
        and list(given.get("strides", [])) == list(size)
        and not any(given.get("pads", []))
        and given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and given.get("group", 1) == 1
        and set(given.get("dilations", [1])) == {1}
    )


def _grid(sides: Shape, size: tuple[int, ...]) -> tuple[int, ...]:
    """Count the patches along each axis; () where a side is not known, or not filled by them."""
    if len(sides) != len(size) or None in sides:
        return ()
    pairs = [divmod(side or 0, step) for side, step in zip(sides, size, strict=True)]
    return () if any(rest for _, rest in pairs) else tuple(count for count, _ in pairs)


def _turn(node: NodeProto, seen: Wiring, flat: tuple[int, int]) -> tuple[NodeProto, ...]:
    """Find the Reshape and the Transpose that make tokens of a Conv, if nothing else reads it."""
    reshape = seen.sole_reader(node.output[0])
    if reshape is None or reshape.op_type != "Reshape":
        return ()
    shape = seen.constant(reshape.input[1])
    turn = seen.sole_reader(reshape.output[0])
    if shape is None or turn is None or turn.op_type != "Transpose":
        return ()
    perm = next((list(each.ints) for each in turn.attribute if each.name == "perm"), [])
    return (reshape, turn) if perm == TOKENS and shape.tolist()[1:] == [*flat] else ()


def _products(graph: onnx.GraphProto, cut: Patches) -> list[NodeProto]:
    out = cut.node.output[0]
    tokens = cut.tokens or f"{out}.tokens"
    weight = cut.weight.reshape(len(cut.weight), -1).T
    graph.initializer.append(stored(f"{out}.matrix", weight))
    nodes = [*_rows(graph, cut), *_linear(cut.node, tokens)]
    if cut.tokens is None:
        nodes.extend(_back(graph, cut, tokens))
    for node in nodes:
        node.name = node.output[0]
    return nodes


def _rows(graph: onnx.GraphProto, cut: Patches) -> list[NodeProto]:
    """Lay out [batch, channels, …] as [batch, patches, channels x size]."""
    x, out = cut.node.input[0], cut.node.output[0]
    deep, axes = cut.weight.shape[1], len(cut.size)
    apart = [n for pair in zip(cut.grid, cut.size, strict=True) for n in pair]
    rows = [prod(cut.grid), deep * prod(cut.size)]
    graph.initializer.append(stored(f"{out}.apart", np.array([-1, deep, *apart])))
    graph.initializer.append(stored(f"{out}.rows", np.array([-1, *rows])))
    # [batch, channels, grid, size, …] → [batch, grid …, channels, size …]
    perm = [0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2)]
    return [
        helper.make_node("Reshape", [x, f"{out}.apart"], [f"{out}.pixels"]),
        helper.make_node("Transpose", [f"{out}.pixels"], [f"{out}.sorted"], perm=perm),
        helper.make_node("Reshape", [f"{out}.sorted", f"{out}.rows"], [f"{out}.patches"]),
    ]


def _linear(node: NodeProto, tokens: str) -> list[NodeProto]:
    out, bias = node.output[0], list(filter(None, node.input[2:]))
    product = f"{out}.product" if bias else tokens
    nodes = [helper.make_node("MatMul", [f"{out}.patches", f"{out}.matrix"], [product])]
    return [*nodes, *(helper.make_node("Add", [product, each], [tokens]) for each in bias)]


def _back(graph: onnx.GraphProto, cut: Patches, tokens: str) -> list[NodeProto]:
    """Lay out tokens as the Conv did."""
    out = cut.node.output[0]
    if len(cut.size) == 1:
        return [helper.make_node("Transpose", [tokens], [out], perm=TOKENS)]
    shape = np.array([-1, len(cut.weight), *cut.grid])
    graph.initializer.append(stored(f"{out}.shape", shape))
    return [
        helper.make_node("Transpose", [tokens], [f"{out}.turned"], perm=TOKENS),
        helper.make_node("Reshape", [f"{out}.turned", f"{out}.shape"], [out]),
    ]
