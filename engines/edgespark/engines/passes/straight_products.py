"""Gemms as products: a plain MatMul on a weight [in, out], and an Add."""

import numpy as np
import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import (
    Wiring,
    copied,
    drop_unread,
    is_matrix,
    put,
    stored,
    wiring,
)

__all__ = ["straight_products"]


def straight_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each Gemm on a constant matrix as MatMul and Add, its factors in the constants.

    Needs: nothing; a Gemm whose weight or bias is computed, or whose input is turned, stays.
    Gives: the same function; the Gemm's tensor keeps its name and value.
    """
    made = copied(model)
    seen = wiring(made.graph)
    gemms = [node for node in made.graph.node if _plain(node, seen)]
    turned = {node.output[0]: _products(made.graph, seen, node) for node in gemms}
    put(
        made.graph,
        [new for node in made.graph.node for new in turned.get(node.output[0], [node])],
    )
    drop_unread(made.graph, [name for node in gemms for name in node.input[1:]])
    return made


def _plain(node: NodeProto, seen: Wiring) -> bool:
    return (
        node.op_type == "Gemm"
        and not _given(node).get("transA", 0)
        and is_matrix(seen.constant(node.input[1]))
        and all(name in seen.weights for name in node.input[2:])
    )


def _given(node: NodeProto) -> dict[str, float]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _products(graph: onnx.GraphProto, seen: Wiring, node: NodeProto) -> list[NodeProto]:
    given, out = _given(node), node.output[0]
    weight = seen.array(node.input[1])
    weight = weight.T if given.get("transB", 0) else weight
    weight = weight * np.float32(given.get("alpha", 1))
    graph.initializer.append(stored(f"{out}.weight", weight.astype(np.float32)))
    if len(node.input) < 3:  # noqa: PLR2004 no bias
        return [helper.make_node("MatMul", [node.input[0], f"{out}.weight"], [out], out)]
    bias = seen.array(node.input[2]) * np.float32(given.get("beta", 1))
    graph.initializer.append(stored(f"{out}.bias", bias.astype(np.float32)))
    product = f"{out}.product"
    return [
        helper.make_node("MatMul", [node.input[0], f"{out}.weight"], [product], product),
        helper.make_node("Add", [product, f"{out}.bias"], [out], out),
    ]
