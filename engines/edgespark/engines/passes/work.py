"""The products of a graph: what each multiplies, of which kind it is, and how much work it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, Literal

import numpy as np
import onnx
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import WORK, Wiring, is_matrix, wiring

__all__ = ["Kind", "Work", "multiply_adds", "works"]

# linear: a MatMul on a constant matrix. conv: a Conv with a constant kernel. scores: a MatMul of
# two computed tensors, as queries and keys. mixes: the same, where the first comes of a Softmax.
Kind = Literal["linear", "conv", "scores", "mixes", "other"]
Sizes = tuple[int, ...]
Given = Mapping[str, Any]

PASSED = ("Cast", "Dropout", "Identity", "Reshape", "Transpose", "Where")
"""What may stand between a Softmax and the product that mixes with its weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One MatMul, Gemm or Conv: its node, its kind, and which of its factors are computed."""

    node: NodeProto
    kind: Kind
    tensors: tuple[str, ...]
    weight: str = ""

    @property
    def name(self) -> str:
        """The tensor that it gives."""
        return str(self.node.output[0])

    @property
    def axis(self) -> int:
        """The axis of the weight's output channels."""
        return 0 if self.kind == "conv" else 1


def works(graph: onnx.GraphProto) -> list[Work]:
    """List the products of a graph, in its order."""
    seen = wiring(graph)
    return [_work(node, seen) for node in graph.node if node.op_type in WORK]


def multiply_adds(work: Work, sizes: Mapping[str, Sequence[int]]) -> int:
    """Count the multiply-adds of a product whose factors have these sizes; bias not counted.

    ValueError or IndexError for sizes that cannot be multiplied.
    """
    x, y = (tuple(sizes[name]) for name in work.node.input[:2])
    given = {each.name: helper.get_attribute_value(each) for each in work.node.attribute}
    return COUNTS[work.node.op_type](x, y, given)


def _conv(x: Sizes, y: Sizes, given: Given) -> int:
    _same(x[1], y[1] * given.get("group", 1))
    return x[0] * prod(_positions(x[2:], y[2:], given)) * prod(y)


def _gemm(x: Sizes, y: Sizes, given: Given) -> int:
    x, y = x[:: -1 if given.get("transA", 0) else 1], y[:: -1 if given.get("transB", 0) else 1]
    _same(x[1], y[0])
    return prod(x) * y[1]


def _matmul(x: Sizes, y: Sizes, _given: Given) -> int:
    _same(x[-1], y[-2] if len(y) > 1 else y[0])
    batch = np.broadcast_shapes(x[:-2], y[:-2])
    return prod(batch) * prod(x[-2:]) * (y[-1] if len(y) > 1 else 1)


def _same(left: int, right: int) -> None:
    if left != right:
        raise ValueError(f"{left} columns against {right} rows")


COUNTS: Mapping[str, Callable[[Sizes, Sizes, Given], int]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _work(node: NodeProto, seen: Wiring) -> Work:
    factors = node.input[:2]
    tensors = tuple(name for name in factors if name not in seen.weights)
    weight = seen.constant(factors[1])
    if len(tensors) == len(factors) and node.op_type == "MatMul":
        return Work(node=node, kind=_attention(node, seen), tensors=tensors)
    if tensors != (factors[0],) or weight is None or weight.dtype != np.float32:
        return Work(node=node, kind="other", tensors=tensors)
    if node.op_type == "Conv":
        return Work(node=node, kind="conv", tensors=tensors, weight=factors[1])
    if node.op_type == "MatMul" and is_matrix(weight):
        return Work(node=node, kind="linear", tensors=tensors, weight=factors[1])
    return Work(node=node, kind="other", tensors=tensors)


def _attention(node: NodeProto, seen: Wiring) -> Kind:
    name = node.input[0]
    while (maker := seen.makers.get(name)) is not None and maker.op_type in PASSED:
        name = maker.input[-1 if maker.op_type == "Where" else 0]
    return "mixes" if maker is not None and maker.op_type == "Softmax" else "scores"


def _positions(sides: Sizes, kernel: Sizes, given: Given) -> list[int]:
    """Count the places along each axis to which a Conv moves its kernel (ONNX, Conv)."""
    none, ones = [0] * 2 * len(kernel), [1] * len(kernel)
    pads, strides, wide = (
        list(given.get(name, default))
        for name, default in (("pads", none), ("strides", ones), ("dilations", ones))
    )
    if given.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return [ceil(side / step) for side, step in zip(sides, strides, strict=True)]
    padded = [side + sum(pads[i :: len(kernel)]) for i, side in enumerate(sides)]
    return [
        (side - step_in * (size - 1) - 1) // step + 1
        for side, size, step, step_in in zip(padded, kernel, strides, wide, strict=True)
    ]
