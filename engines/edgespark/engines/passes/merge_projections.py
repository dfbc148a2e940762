"""Projections of the same tensor as one product: queries, keys and values above all."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import (
    Wiring,
    bias_of,
    copied,
    drop_unread,
    is_matrix,
    put,
    stored,
    wiring,
)

__all__ = ["merge_projections"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """One MatMul with a constant weight [in, out], and the Add of a constant vector behind it."""

    product: NodeProto
    weight: NDArray[np.float32]
    add: NodeProto | None
    bias: NDArray[np.float32] | None

    @property
    def out(self) -> str:
        """The tensor that it gives, bias and all."""
        return str((self.add or self.product).output[0])


def merge_projections(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write MatMuls that multiply one tensor with constant matrices as one MatMul and a Split.

    Needs: nothing.
    Gives: the same function. The merged product has a bias where one of them had one; what each of
    them gave, with its bias, keeps its name and value.
    """
    made = copied(model)
    seen = wiring(made.graph)
    found: dict[str, list[Projection]] = defaultdict(list)
    for node in made.graph.node:
        if (each := _projection(node, seen)) is not None:
            found[node.input[0]].append(each)
    groups = [group for group in found.values() if len(group) > 1]
    merged = {group[0].product.output[0]: _merged(made.graph, group) for group in groups}
    old = [
        node
        for group in groups
        for each in group
        for node in (each.product, each.add)
        if node is not None
    ]
    gone = {node.output[0] for node in old} - merged.keys()
    put(
        made.graph,
        [
            new
            for node in made.graph.node
            if node.output[0] not in gone
            for new in merged.get(node.output[0], [node])
        ],
    )
    drop_unread(made.graph, [name for node in old for name in node.input])
    return made


def _projection(node: NodeProto, seen: Wiring) -> Projection | None:
    weight = seen.constant(node.input[1]) if node.op_type == "MatMul" else None
    if not is_matrix(weight) or node.input[0] in seen.weights:
        return None
    add, bias = bias_of(node, seen, weight.shape[1])
    return Projection(product=node, weight=weight, add=add, bias=bias)


def _merged(graph: onnx.GraphProto, group: list[Projection]) -> list[NodeProto]:
    name = f"{group[0].out}.merged"
    graph.initializer.extend(
        [
            stored(f"{name}.weight", np.concatenate([each.weight for each in group], axis=1)),
            stored(f"{name}.sizes", np.array([each.weight.shape[1] for each in group])),
        ]
    )
    x, whole = group[0].product.input[0], name
    nodes = [helper.make_node("MatMul", [x, f"{name}.weight"], [name], name)]
    if any(each.bias is not None for each in group):
        whole = f"{name}.biased"
        graph.initializer.append(stored(f"{name}.bias", _biases(group)))
        nodes.append(helper.make_node("Add", [name, f"{name}.bias"], [whole], whole))
    outs = [each.out for each in group]
    split = helper.make_node("Split", [whole, f"{name}.sizes"], outs, f"{name}.split", axis=-1)
    return [*nodes, split]


def _biases(group: list[Projection]) -> NDArray[np.float32]:
    zero = [np.zeros(each.weight.shape[1], np.float32) for each in group]
    return np.concatenate(
        [none if each.bias is None else each.bias for each, none in zip(group, zero, strict=True)]
    )
