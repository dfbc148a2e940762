"""Products of one tensor with constant matrices as one product: queries, keys and values."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper

from edgespark.engines.absent import absent
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Wiring, copied, put, stored, wiring
from edgespark.engines.sourced import Array, Sourced
from edgespark.engines.straighten import MATRIX

__all__ = ["merge_products"]

WITH_BIAS = 6  # inputs of a MatMulNBits


@dataclass(frozen=True, kw_only=True, slots=True)
class _Weight:
    """How weights of a kind are joined: which inputs of the node they are, and along which axis."""

    places: tuple[int, ...]
    axis: int


WEIGHTS = {"MatMul": _Weight(places=(1,), axis=1), "MatMulNBits": _Weight(places=(1, 2), axis=0)}


def merge_products(given: Sourced) -> Sourced:
    """Write MatMuls, or MatMulNBits of one form, that read one tensor as one of them and a Split.

    Needs: constant matrices; products with a bias stay.
    Gives: the same function. Weights are joined in the order of the nodes; what each product gave
    keeps its name.
    """
    made = copied(given.model)
    groups = [each for each in _groups(made.graph, wiring(made.graph)) if len(each) > 1]
    makers: dict[str, Callable[[], Array]] = {}
    merged: dict[str, list[NodeProto]] = {}
    for group in groups:
        merged[group[0].output[0]] = _merged(made.graph, group, given, makers)
    gone = {node.output[0] for group in groups for node in group[1:]}
    put(
        made.graph,
        [
            new
            for node in made.graph.node
            if node.output[0] not in gone
            for new in merged.get(node.output[0], [node])
        ],
    )
    sweep(made.graph)
    return Sourced(model=made, source=given.adding(makers))


def _groups(graph: onnx.GraphProto, seen: Wiring) -> Sequence[list[NodeProto]]:
    found: dict[object, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        if node.op_type in WEIGHTS and _is_constant(node, seen):
            found[(node.input[0], node.op_type, *_form(node, seen))].append(node)
    return list(found.values())


def _is_constant(node: NodeProto, seen: Wiring) -> bool:
    return (
        all(node.input[place] in seen.weights for place in WEIGHTS[node.op_type].places)
        and node.input[0] not in seen.weights
        and len(node.input) < WITH_BIAS
    )


def _form(node: NodeProto, seen: Wiring) -> tuple[object, ...]:
    """Tell what products must share to be joined."""
    weight = seen.weights[node.input[1]]
    if node.op_type == "MatMul":
        return (weight.data_type, len(weight.dims) == MATRIX or node.output[0])
    return tuple(sorted((each.name, each.i) for each in node.attribute if each.name != "N"))


def _merged(
    graph: onnx.GraphProto,
    group: list[NodeProto],
    given: Sourced,
    makers: dict[str, Callable[[], Array]],
) -> list[NodeProto]:
    first, outs = group[0], [node.output[0] for node in group]
    whole, weights = f"{outs[0]}.merged", {each.name: each for each in graph.initializer}
    node = NodeProto()
    node.CopyFrom(first)
    node.name = node.output[0] = whole
    form = WEIGHTS[first.op_type]
    sizes = np.array([_columns(each, weights[each.input[1]]) for each in group])
    for each in node.attribute:
        if each.name == "N":
            each.CopyFrom(helper.make_attribute("N", int(sizes.sum())))
    for place in form.places:
        old = [each.input[place] for each in group]
        node.input[place] = f"{whole}.{place}"
        graph.initializer.append(_joined(node.input[place], [weights[n] for n in old], form.axis))
        makers[node.input[place]] = _joiner(old, given, form.axis)
    graph.initializer.append(stored(f"{whole}.sizes", sizes))
    split = helper.make_node("Split", [whole, f"{whole}.sizes"], outs, f"{whole}.split", axis=-1)
    return [node, split]


def _columns(node: NodeProto, weight: TensorProto) -> int:
    told: list[AttributeProto] = [each for each in node.attribute if each.name == "N"]
    return told[0].i if told else weight.dims[1]


def _joined(name: str, old: list[TensorProto], axis: int) -> TensorProto:
    dims = list(old[0].dims)
    dims[axis] = sum(each.dims[axis] for each in old)
    return absent(name, old[0].data_type, dims)


def _joiner(old: list[str], given: Sourced, axis: int) -> Callable[[], Array]:
    return lambda: np.concatenate([given.array(name) for name in old], axis)
