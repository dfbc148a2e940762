"""How one weight is stored, and what the graph does to read it: in plain ONNX operators."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.quantise import (
    LARGEST,
    LEAST,
    MOST,
    Grid,
    Rounding,
    laid,
    packed,
    per_channel,
)

Array = NDArray[np.generic]
Dims = tuple[int, ...]

BITS: dict[int, int] = {  # by ONNX dtype
    TensorProto.FLOAT: 32,
    TensorProto.FLOAT16: 16,
    TensorProto.INT8: 8,
    TensorProto.INT4: 4,
}
BLOCKS = (256, 128, 64, 32, 16)  # that ONNX Runtime's kernels know: larger ones are faster
USUAL_BLOCK = 128  # the largest that TensorRT reads
BYTE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A tensor as it is stored: name, ONNX dtype and shape, whatever its content."""

    name: str
    kind: int
    dims: Dims

    @property
    def bytes(self) -> int:
        """Size of the content; the last byte of an odd number of int4 is half used."""
        return -(-prod(self.dims) * BITS[self.kind] // BYTE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A way to store a weight, of name and shape as in the graph.

    `specs` tells the tensors that are stored for it, and `encode` gives their contents in the same
    order, from an array of any layout: what it cannot hold is infinite or NaN there. Matrices that
    products read are on a `grid`, and rounded by what `encode` is given; other forms do without.
    `read` writes the node that reads the weight anew. Only weights whose shape `fits` it has.

    Forms but `WIDE` and `HALF` give float32 to what read the weight, whatever they store.
    """

    specs: Callable[[str, Dims], tuple[Spec, ...]]
    encode: Callable[[Array, Rounding], tuple[Array, ...]]
    read: Callable[[NodeProto, str, Dims], list[NodeProto]]
    fits: Callable[[Dims], bool] = lambda _: True
    grid: Callable[[Dims], Grid] | None = None


def block_of(dims: Dims, largest: int = USUAL_BLOCK) -> int:
    """Choose the largest block, up to `largest`, that divides the rows of [in, out]; 0: none."""
    return next((each for each in BLOCKS if each <= largest and dims[0] % each == 0), 0)


def _wide(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (Spec(name=name, kind=TensorProto.FLOAT, dims=dims),)


def _half(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (Spec(name=name, kind=TensorProto.FLOAT16, dims=dims),)


def _bytes(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (
        Spec(name=name, kind=TensorProto.INT8, dims=dims),
        Spec(name=scale_of(name), kind=TensorProto.FLOAT, dims=dims[1:]),
    )


def _rows(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (
        Spec(name=name, kind=TensorProto.INT8, dims=dims),
        Spec(name=scale_of(name), kind=TensorProto.FLOAT, dims=(*dims[:1], 1)),
        Spec(name=step_of(name), kind=TensorProto.FLOAT, dims=()),
        Spec(name=zero_of(name), kind=TensorProto.INT8, dims=()),
    )


def _nibbles(largest: int, name: str, dims: Dims) -> tuple[Spec, ...]:
    scales = (dims[0] // block_of(dims, largest), *dims[1:])
    return (
        Spec(name=name, kind=TensorProto.INT4, dims=dims),
        Spec(name=scale_of(name), kind=TensorProto.FLOAT, dims=scales),
    )


def scale_of(name: str) -> str:
    """Name the scales of a quantised weight."""
    return f"{name}.scale"


def step_of(name: str) -> str:
    """Name the step between the codes of a table whose rows have scales of their own: one."""
    return f"{name}.step"


def zero_of(name: str) -> str:
    """Name the zero point of a table's codes: zero, which ONNX Runtime wants to see."""
    return f"{name}.zero"


def _encode_rows(table: Array, _: Rounding) -> tuple[Array, ...]:
    codes, scales = per_channel(table.T)
    step, zero = np.ones((), np.float32), np.zeros((), np.int8)
    return np.ascontiguousarray(codes.T), scales[:, None], step, zero


def _encode_bytes(matrix: Array, rounding: Rounding) -> tuple[Array, ...]:
    return rounding(matrix, COLUMNS)


def _encode_nibbles(
    grid: Callable[[Dims], Grid], matrix: Array, rounding: Rounding
) -> tuple[Array, ...]:
    codes, scales = rounding(matrix, grid(matrix.shape))
    return packed(codes), scales


def _blocks(largest: int, signed: bool, dims: Dims) -> Grid:  # noqa: FBT001 bound by `int4`
    return Grid(least=LEAST, most=MOST, block=block_of(dims, largest), signed=signed)


def _as_it_is(node: NodeProto, _name: str, _dims: Dims) -> list[NodeProto]:
    return [node]


def _by_row(node: NodeProto, name: str, _dims: Dims) -> list[NodeProto]:
    """Gather int8 rows, and scale each by its own.

    TensorRT takes int8 constants before a DequantizeLinear alone, and ONNX Runtime would widen the
    whole table there on every run, unless the gathered rows are quantised again: where int8 is
    allowed, it drops a DequantizeLinear and a QuantizeLinear of one step around a Gather.
    """
    rows, out = node.input[1], node.output[0]
    wide, some, codes, back, scale = (
        f"{out}.{each}" for each in ("table", "rows", "codes", "numbers", "scale")
    )
    step = [step_of(name), zero_of(name)]
    return [
        helper.make_node("DequantizeLinear", [name, *step], [wide], wide),
        helper.make_node("Gather", [wide, rows], [some], some),
        helper.make_node("QuantizeLinear", [some, *step], [codes], codes),
        helper.make_node("DequantizeLinear", [codes, *step], [back], back),
        helper.make_node("Gather", [scale_of(name), rows], [scale], scale),
        helper.make_node("Mul", [back, scale], [out], out),
    ]


def _by_channel(node: NodeProto, name: str, _dims: Dims) -> list[NodeProto]:
    return _dequantised(node, name, axis=1)


def _by_block(largest: int, node: NodeProto, name: str, dims: Dims) -> list[NodeProto]:
    return _dequantised(node, name, axis=0, block=block_of(dims, largest))


def _dequantised(node: NodeProto, name: str, *, axis: int, block: int = 0) -> list[NodeProto]:
    # one DequantizeLinear for each reader: ONNX Runtime fuses no shared one
    (x, weight), out = node.input, node.output[0]
    wide = f"{out}.dequantized"
    read = helper.make_node("DequantizeLinear", [weight, scale_of(name)], [wide], wide, axis=axis)
    if block:
        read.attribute.append(helper.make_attribute("block_size", block))
    return [read, helper.make_node("MatMul", [x, wide], [out], node.name)]


def int4(largest: int, *, signed: bool) -> Form:
    """Store int4 in blocks of at most `largest` rows, where one of `BLOCKS` divides them."""
    grid = partial(_blocks, largest, signed)
    return Form(
        specs=partial(_nibbles, largest),
        encode=partial(_encode_nibbles, grid),
        read=partial(_by_block, largest),
        fits=lambda dims: block_of(dims, largest) > 0,
        grid=grid,
    )


COLUMNS = Grid(least=-LARGEST, most=LARGEST)
WIDE = Form(specs=_wide, encode=lambda array, _: (laid(array, np.float32),), read=_as_it_is)
HALF = Form(specs=_half, encode=lambda array, _: (laid(array, np.float16),), read=_as_it_is)
INT8_TABLE = Form(specs=_rows, encode=_encode_rows, read=_by_row)
INT8 = Form(specs=_bytes, encode=_encode_bytes, read=_by_channel, grid=lambda _: COLUMNS)
