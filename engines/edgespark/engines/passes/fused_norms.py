"""Norms as one operator of ONNX Runtime each, which also makes the sum that it reads."""

import numpy as np
import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Wiring, copied, put, wiring

__all__ = ["fused_norms", "fused_sums"]

NORM = "SimplifiedLayerNormalization"
WITH_SUM = {
    NORM: "SkipSimplifiedLayerNormalization",
    "LayerNormalization": "SkipLayerNormalization",
}
SQUARE = 2
LAST = -1


def fused_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write gain · x / √(mean x² + ε) as SimplifiedLayerNormalization.

    Needs: float32; the mean is over the last axis, the gain a constant vector. x² is Pow or Mul,
    the root Reciprocal of Sqrt.
    Gives: the same function but for rounding.
    """
    made = copied(model)
    seen = wiring(made.graph)
    put(made.graph, [_norm(node, seen) or node for node in made.graph.node])
    sweep(made.graph)
    return made


def fused_sums(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a norm over the last axis make the sum of two activations that it reads.

    Needs: both are of one shape; SimplifiedLayerNormalization or LayerNormalization.
    Gives: the same function but for rounding; the sum keeps its name.
    """
    made = copied(model)
    seen = wiring(made.graph)
    sums = {node.input[0]: node for node in made.graph.node if _is_of_sum(node, seen)}
    gone = {norm.output[0] for norm in sums.values()}
    # a norm stands where its sum stood: others read that too
    kept = [node for node in made.graph.node if node.output[0] not in gone]
    put(made.graph, [_with_sum(sums.get(node.output[0]), node) for node in kept])
    if sums:
        import_contributed(made)
    return made


def _norm(node: NodeProto, seen: Wiring) -> NodeProto | None:
    """Read a norm from the Mul by its gain; None for anything else."""
    gain = next((name for name in node.input if name in seen.weights), "")
    if node.op_type != "Mul" or not gain or len(seen.weights[gain].dims) != 1:
        return None
    (scaled,) = [name for name in node.input if name != gain] or [""]
    product = _maker(scaled, "Mul", seen)
    if product is None:
        return None
    for place, name in enumerate(product.input):
        mean = _mean(name, seen)
        if mean is not None and mean[0] == product.input[1 - place]:
            return helper.make_node(
                NORM,
                [mean[0], gain],
                [node.output[0]],
                node.output[0],
                epsilon=mean[1],
                axis=LAST,
            )
    return None


def _mean(name: str, seen: Wiring) -> tuple[str, float] | None:
    """Read 1 / √(mean x² + ε): x, and ε."""
    root = _maker(name, "Reciprocal", seen)
    under = _maker(root.input[0], "Sqrt", seen) if root else None
    add = _maker(under.input[0], "Add", seen) if under else None
    if add is None:
        return None
    for place, each in enumerate(add.input):
        epsilon = _number(each, seen)
        mean = _maker(add.input[1 - place], "ReduceMean", seen)
        if epsilon is not None and mean is not None and _is_last(mean, seen):
            squared = _squared(mean.input[0], seen)
            return None if squared is None else (squared, epsilon)
    return None


def _squared(name: str, seen: Wiring) -> str | None:
    power = _maker(name, "Pow", seen)
    if power is not None and _number(power.input[1], seen) == SQUARE:
        return str(power.input[0])
    product = _maker(name, "Mul", seen)
    return str(product.input[0]) if product and product.input[0] == product.input[1] else None


def _is_last(mean: NodeProto, seen: Wiring) -> bool:
    told = {each.name: helper.get_attribute_value(each) for each in mean.attribute}
    axes = told.get("axes")
    if len(mean.input) > 1:
        held = seen.constant(mean.input[1])
        axes = None if held is None else held.tolist()
    return axes == [LAST] and told.get("keepdims", 1) == 1


def _number(name: str, seen: Wiring) -> float | None:
    array = seen.floats(name) if name in seen.weights and not seen.weights[name].dims else None
    return None if array is None else float(np.float32(array))


def _maker(name: str, operator: str, seen: Wiring) -> NodeProto | None:
    node = seen.makers.get(name)
    return node if node is not None and node.op_type == operator and not node.domain else None


def _is_of_sum(norm: NodeProto, seen: Wiring) -> bool:
    """Tell whether a norm reads a sum of two activations, and no other norm does."""
    add = _maker(norm.input[0], "Add", seen) if norm.op_type in WITH_SUM else None
    others = [node.op_type for node, _ in seen.readers[norm.input[0]]]
    return (
        add is not None
        and _axis(norm) == LAST
        and norm.input[0] not in seen.outputs
        and not any(name in seen.weights for name in add.input)
        and sum(name in WITH_SUM for name in others) == 1
    )


def _axis(norm: NodeProto) -> int:
    return next((each.i for each in norm.attribute if each.name == "axis"), LAST)


def _with_sum(norm: NodeProto | None, add: NodeProto) -> NodeProto:
    """Write a sum and the norm that reads it as one node; a sum that no norm reads stays."""
    if norm is None:
        return add
    made = helper.make_node(
        WITH_SUM[norm.op_type],
        [*add.input, *norm.input[1:]],
        [norm.output[0], "", "", add.output[0]],
        norm.name,
        domain=CONTRIBUTED,
    )
    made.attribute.extend(each for each in norm.attribute if each.name == "epsilon")
    return made
