"""Products in float16: Casts around each MatMul, Gemm and Conv, and behind tables that are read."""

from collections.abc import Container, Iterator

import onnx
from onnx import NodeProto

from edgespark.engines.passes.casts import FLOAT, narrowed
from edgespark.engines.passes.kinds import kinds
from edgespark.engines.passes.rotations import rotations
from edgespark.engines.passes.wiring import WORK, copied

TABLE = 2  # axes


def half_products(model: onnx.ModelProto, keep: Container[str]) -> onnx.ModelProto:
    """Let products and the look-up of rows in tables compute in float16; RoPE's tables do not.

    Needs a float32 graph, in which all that these read and make fits float16, but for the ones that
    make the tensors `keep`. Gives a copy: all else computes in float32 as before, and so are the
    graph's inputs and outputs.
    """
    made = copied(model)
    return narrowed(made, {name for name in narrowable(made) if name not in keep})


def narrowable(model: onnx.ModelProto) -> Iterator[str]:
    """Name what the products and look-ups of a float32 graph give."""
    found, turning = kinds(model), rotations(model.graph)
    tables = {each.name for each in model.graph.initializer if len(each.dims) == TABLE}
    for node in model.graph.node:
        if node.op_type in WORK or (node.op_type == "Gather" and _looks_up(node, tables)):
            name = node.output[0]
            if found[name] == FLOAT and name not in turning:
                yield name


def _looks_up(node: NodeProto, tables: set[str]) -> bool:
    return node.input[0] in tables and all(each.i == 0 for each in node.attribute)
