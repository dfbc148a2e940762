"""SiLU as one operator of ONNX Runtime."""

import onnx
from onnx import helper

from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import copied, put, wiring

__all__ = ["fused_silu"]


def fused_silu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write x · Sigmoid(x) as QuickGelu with alpha 1.

    Needs: nothing. Gives: the same function but for rounding.
    """
    made = copied(model)
    seen = wiring(made.graph)
    nodes = []
    for node in made.graph.node:
        gates = [seen.makers.get(name) for name in node.input] if node.op_type == "Mul" else []
        of = [str(each.input[0]) for each in gates if each and each.op_type == "Sigmoid"]
        if len(of) == 1 and of[0] in node.input:
            out = node.output[0]
            nodes.append(
                helper.make_node("QuickGelu", of, [out], out, domain=CONTRIBUTED, alpha=1.0)
            )
            import_contributed(made)
        else:
            nodes.append(node)
    put(made.graph, nodes)
    sweep(made.graph)
    return made
