"""Encoders, bridges and heads as ONNX Runtime's CPU kernels want them; and which stay as they are.

A lowering: only ONNX Runtime runs what comes out. The portable graph stays what a bundle ships.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from edgespark.engines.cpu_decoder import LoweredFile
from edgespark.engines.passes.cpu_int8 import cpu_int8
from edgespark.engines.passes.fused_attention import fused_attention
from edgespark.engines.sourced import opened, written
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Precision, Role

__all__ = ["KEPT", "LOWERINGS", "ONNXRUNTIME", "lower_part"]

Pass = Callable[[onnx.ModelProto], onnx.ModelProto]

ONNXRUNTIME = "1.20"  # what the runtime asks for: the operators are older

LOWERINGS: Mapping[tuple[Role, Precision], Pass] = {
    # Processor time of CLIP's ViT-L/14 on one core of an AMD EPYC with VNNI, the least of 6
    # interleaved runs: portable 562 ms, so 541. SkipLayerNormalization makes it a tenth slower.
    ("encoder", "int8"): cpu_int8,
    # MultiHeadAttention saves the weights of all pairs: a third of what attention takes.
    ("encoder", "fp32"): fused_attention,
    ("bridge", "fp32"): fused_attention,
}

KEPT: Mapping[tuple[Role, Precision], str] = {
    ("embedder", "fp32"): "one Gather: nothing is to be gained",
    # 32,000 rows of 768: 10.7 us for one token, GatherBlockQuantized 8.9; 736 and 730 for 1024
    ("embedder", "int8"): "a gathered row is as fast as one of GatherBlockQuantized",
    ("head", "fp32"): "a product or two of one position, and no attention",
    # ten bridges of 0.12 to 0.18 ms and thirteen heads of 0.02 to 0.04 ms: 1 and 2 % faster
    ("bridge", "int8"): "its few products of int8 gain nothing that could be told from noise",
    ("head", "int8"): "its few products of int8 gain nothing that could be told from noise",
}
"""Why the portable form is as good."""


def lower_part(graph: Path, role: Role, precision: Precision, into: Path) -> LoweredFile | None:
    """Lower the graph of a part that is no decoder into the new file `into`, where that pays.

    None where the portable form is as good (`KEPT`), or where nothing in this graph changes; then
    no file is written. The ports stay the portable graph's: `inputs`, `outputs` and `states` are
    empty. Weights are copied one at a time, and lie in `into`.data from 64 MiB on. UsageError for a
    decoder, or a precision that such parts do not have; BundleError where the file is no graph;
    OSError where nothing can be written.
    """
    kind = (role, precision)
    if kind in KEPT:
        return None
    if kind not in LOWERINGS:
        raise UsageError(
            f"no lowering for a part that is {role} in {precision}; there are: "
            + ", ".join(" in ".join(each) for each in LOWERINGS)
        )
    given = opened(graph)
    model = LOWERINGS[kind](given.model)
    if model == given.model:
        return None
    return LoweredFile(
        inputs=(),
        outputs=(),
        states=(),
        data=written(replace(given, model=model), into),
        onnxruntime=ONNXRUNTIME,
        how=dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
    )
