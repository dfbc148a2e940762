"""How much of a graph is in its precision: of the work it does, or of the weights it reads."""

from math import prod

import onnx
from onnx import TensorProto

from edgespark.export.placing import Placed
from edgespark.export.precisions import BY_WEIGHT
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import Precision

CODES: dict[Precision, frozenset[int]] = {
    "fp16": frozenset({TensorProto.FLOAT16}),
    "int8": frozenset({TensorProto.INT8}),
    "int4": frozenset({TensorProto.INT4}),
}
"""The ONNX dtype of weights that count as being in a precision."""


def share(stage: Stage, placed: Placed) -> float:
    """Return how much, 0…1, of a graph is in its precision.

    Of the multiply-adds where a report says what became of each layer, of the weights (each as
    float32) otherwise: scales are no weights, and tables of positions none either.
    """
    if placed.precision == "fp32":
        return 1.0
    if placed.report is not None and stage.role not in BY_WEIGHT:
        return placed.report.share(placed.precision)
    among, known = CODES[placed.precision], {name for name, _ in stage.module.named_parameters()}
    graph = onnx.load_from_string(placed.content).graph
    weights = [each for each in graph.initializer if each.name in known]
    narrow = sum(prod(each.dims) for each in weights if each.data_type in among)
    total = sum(prod(each.dims) for each in weights)
    return narrow / total if total else 1.0
