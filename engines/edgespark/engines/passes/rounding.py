"""Rounding that a CPU without float16 cannot leave out: Identities behind each float16 tensor."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.casts import HALF, half_of
from edgespark.engines.passes.kinds import kinds
from edgespark.engines.passes.wiring import copied, put

SUFFIX = half_of("")


def rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let each float16 tensor that a node makes pass through Identities, which keep its name.

    ONNX Runtime's CPU provider computes float16 in float32, and casts around each node. It leaves
    out the Casts between two nodes that it must cast around, and an Identity between such nodes
    computes in float32 itself; two in a row do not. With two, and no optimiser, it rounds, and
    overflows. An engine for a device drops them. A tensor `x.half` is called `x` where no other is.

    Needs a valid graph that this has not been done to, and gives a copy that computes the same.
    """
    made = copied(model)
    _rename(made)
    found = kinds(made)
    put(made.graph, [each for node in made.graph.node for each in _rounded(node, found)])
    return made


def _rounded(node: NodeProto, found: Mapping[str, int]) -> Iterator[NodeProto]:
    halves = {name: place for place, name in enumerate(node.output) if found.get(name) == HALF}
    for name, place in halves.items():
        node.output[place] = f"{name}.exact"
    yield node
    for name in halves:
        # a Cast of the graph's own is always computed: one Identity will do
        steps = [f"{name}.exact", *([] if node.op_type == "Cast" else [f"{name}.rounded"]), name]
        for before, after in pairwise(steps):
            yield helper.make_node("Identity", [before], [after], f"{after}.identity")


def _rename(model: onnx.ModelProto) -> None:
    fields = [each for node in model.graph.node for each in (node.input, node.output)]
    ends = (*model.graph.input, *model.graph.initializer)
    used = {name for each in fields for name in each} | {each.name for each in ends}
    for each in fields:
        for place, name in enumerate(each):
            short = name.removesuffix(SUFFIX)
            each[place] = name if short in used else short
