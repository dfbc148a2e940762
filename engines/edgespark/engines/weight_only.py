"""Weights of a graph one by one: which form each takes, and the graph that reads it.

In int8 and int4 weights alone are narrow, those of products and tables; all else is float32. In
fp16 the graph computes in float16 as `edgespark.engines.fp16` has it. Ports are float32 always. The
forms are plain ONNX. ONNX Runtime 1.31 reads int8 and int4 with its `MatMulNBits` kernels, which
it makes of DequantizeLinear and MatMul; an older one may dequantise on every run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import onnx

from edgespark.engines.absent import is_absent
from edgespark.engines.forms import (
    BLOCKS,
    HALF,
    INT8,
    INT8_TABLE,
    USUAL_BLOCK,
    WIDE,
    Dims,
    Form,
    int4,
)
from edgespark.engines.fp16 import halved
from edgespark.engines.passes.wiring import ends
from edgespark.engines.straighten import MATRIX, Readers, put, readers
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Precision

# matrix: the second input of MatMuls alone. last: the same, of a product that is an output of the
# graph, such as logits. table: the rows of Gathers alone. other: norms, biases, kernels.
Use = Literal["matrix", "last", "table", "other"]


Rounder = Literal["nearest", "awq", "gptq"]
ROUNDINGS: tuple[Rounder, ...] = ("nearest", "awq", "gptq")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """How integer weights are made: int4 in blocks of at most `block` rows, logits by `last` bits.

    Scales of either sign (`signed`) make smaller errors of int4; TensorRT reads positive ones
    alone, and no larger blocks than 128. `rounding` is plain; or after a scaling of channels
    (`edgespark.engines.awq`), or so that errors make up for each other (`edgespark.engines.gptq`),
    both by what was gathered on data.
    """

    block: int = USUAL_BLOCK
    signed: bool = False
    rounding: Rounder = "nearest"
    last: Literal[4, 8] = 8

    def __post_init__(self) -> None:
        """Refuse a block that no kernel reads."""
        if self.block not in BLOCKS:
            raise ValueError(f"no block of {self.block} rows; there are: {BLOCKS}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forms:
    """The form for each use of a weight, first choice first, and the least opset they need."""

    opset: int
    forms: Callable[[Weights], Mapping[Use, tuple[Form, ...]]]


def _floats(_: Weights) -> Mapping[Use, tuple[Form, ...]]:
    return {}  # at fp16 each weight has its dtype in the graph


def _bytes(_: Weights) -> Mapping[Use, tuple[Form, ...]]:
    return {"matrix": (INT8,), "last": (INT8,), "table": (INT8_TABLE,)}


def _nibbles(weights: Weights) -> Mapping[Use, tuple[Form, ...]]:
    """Give INT8 where no block divides the rows, and for what is nearest to the ends."""
    blocks = (int4(weights.block, signed=weights.signed), INT8)
    last = blocks if weights.last == NIBBLE else (INT8,)
    return {"matrix": blocks, "last": last, "table": (INT8_TABLE,)}


PRECISIONS: Mapping[Precision, Forms] = MappingProxyType(
    {
        "fp32": Forms(opset=18, forms=_floats),
        "fp16": Forms(opset=18, forms=_floats),
        "int8": Forms(opset=18, forms=_bytes),
        "int4": Forms(opset=21, forms=_nibbles),
    }
)
NIBBLE = 4  # bits
PLAIN = Weights()
CHANGED = {"DFT", "GridSample", "GroupNormalization"}  # mean something else after opset 18


def lower(
    model: onnx.ModelProto, precision: Precision, weights: Weights = PLAIN
) -> tuple[onnx.ModelProto, dict[str, Form]]:
    """Write the graph so that it reads its absent weights at that precision.

    Gives a changed copy, in which the weights still stand as they were, and the form of each. At
    fp16 a graph that `halved` has made is taken as it is; another is halved, without any ranges.
    CheckError where the graph cannot be brought to the opset that the precision needs.
    """
    wanted = PRECISIONS[precision]
    made = _raised(model, wanted.opset)
    if precision == "fp16" and not any(map(_is_half, made.graph.initializer)):
        made, _ = halved(made, {}, {})
    forms = _forms(made.graph, wanted.forms(weights))
    dims = {each.name: tuple(each.dims) for each in made.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in made.graph.node:
        name = next((name for name in node.input if forms.get(name, WIDE) is not WIDE), None)
        nodes += [node] if name is None else forms[name].read(node, name, dims[name])
    put(made.graph, nodes)
    return made, forms


def _forms(graph: onnx.GraphProto, options: Mapping[Use, tuple[Form, ...]]) -> dict[str, Form]:
    reads, outputs = readers(graph), ends(graph)
    found = {}
    for each in graph.initializer:
        if is_absent(each):
            dims = tuple(each.dims)
            use = _use(each.name, dims, reads, outputs)
            given = (HALF,) if _is_half(each) else options.get(use, (WIDE,))
            found[each.name] = next(form for form in given if form.fits(dims))
    return found


def _is_half(weight: onnx.TensorProto) -> bool:
    return weight.data_type == onnx.TensorProto.FLOAT16


def _raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    (imported,) = made.opset_import
    if imported.version < opset:
        if changed := sorted(CHANGED & {node.op_type for node in made.graph.node}):
            raise CheckError(
                f"{', '.join(changed)} means something else at opset {opset} than at "
                f"{imported.version}: this precision cannot be made of the graph"
            )
        imported.version = opset
    made.ir_version = max(made.ir_version, 10)  # the first that knows int4
    return made


def _use(name: str, dims: Dims, reads: Readers, outputs: set[str]) -> Use:
    seen = {(node.op_type, place) for node, place in reads[name]}
    if len(dims) != MATRIX:
        return "other"
    if seen == {("MatMul", 1)}:
        last = any(node.output[0] in outputs for node, _ in reads[name])
        return "last" if last else "matrix"
    return "table" if seen == {("Gather", 0)} and _by_rows(name, reads) else "other"


def _by_rows(name: str, reads: Readers) -> bool:
    return all(each.i == 0 for node, _ in reads[name] for each in node.attribute)
