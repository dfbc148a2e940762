"""How one weight is stored, and what the graph does to read it: in plain ONNX operators."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.quantise import block_wise, laid, packed, per_channel

Array = NDArray[np.generic]
Dims = tuple[int, ...]

BITS: dict[int, int] = {  # by ONNX dtype
    TensorProto.FLOAT: 32,
    TensorProto.FLOAT16: 16,
    TensorProto.INT8: 8,
    TensorProto.INT4: 4,
}
BLOCKS = (128, 64, 32, 16)  # ONNX Runtime's kernels know no smaller one; larger ones are faster
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
    order, from an array of any layout: what it cannot hold is infinite or NaN there. `read` writes
    the node that reads the weight anew. Only weights whose shape `fits` are stored so.
    """

    specs: Callable[[str, Dims], tuple[Spec, ...]]
    encode: Callable[[Array], tuple[Array, ...]]
    read: Callable[[NodeProto, str, Dims], list[NodeProto]]
    fits: Callable[[Dims], bool] = lambda _: True


def block_of(dims: Dims) -> int:
    """Choose the largest block that divides the rows of [in, out]; 0 where none does."""
    return next((each for each in BLOCKS if dims[0] % each == 0), 0)


def _wide(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (Spec(name=name, kind=TensorProto.FLOAT, dims=dims),)


def _half(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (Spec(name=name, kind=TensorProto.FLOAT16, dims=dims),)


def _bytes(name: str, dims: Dims) -> tuple[Spec, ...]:
    return (
        Spec(name=name, kind=TensorProto.INT8, dims=dims),
        Spec(name=scale_of(name), kind=TensorProto.FLOAT, dims=dims[1:]),
    )


def _nibbles(name: str, dims: Dims) -> tuple[Spec, ...]:
    scales = (dims[0] // block_of(dims), *dims[1:])
    return (
        Spec(name=name, kind=TensorProto.INT4, dims=dims),
        Spec(name=scale_of(name), kind=TensorProto.FLOAT, dims=scales),
    )


def scale_of(name: str) -> str:
    """Name the scales of a quantised weight."""
    return f"{name}.scale"


def _encode_nibbles(matrix: Array) -> tuple[Array, ...]:
    codes, scales = block_wise(matrix, block_of(matrix.shape))
    return packed(codes), scales


def _as_it_is(node: NodeProto, _name: str, _dims: Dims) -> list[NodeProto]:
    return [node]


def _half_product(node: NodeProto, _name: str, _dims: Dims) -> list[NodeProto]:
    """Multiply in float16; what comes in and goes out stays float32."""
    (x, weight), out = node.input, node.output[0]
    narrow, product = f"{out}.input", f"{out}.product"
    return [
        _cast(x, narrow, TensorProto.FLOAT16),
        helper.make_node("MatMul", [narrow, weight], [product], product),
        _cast(product, out, TensorProto.FLOAT),
    ]


def _half_rows(node: NodeProto, _name: str, _dims: Dims) -> list[NodeProto]:
    """Gather float16 rows, and widen them."""
    out = node.output[0]
    narrow = NodeProto()
    narrow.CopyFrom(node)
    narrow.output[0] = f"{out}.rows"
    return [narrow, _cast(f"{out}.rows", out, TensorProto.FLOAT)]


def _by_channel(node: NodeProto, name: str, _dims: Dims) -> list[NodeProto]:
    return _dequantised(node, name, axis=1)


def _by_block(node: NodeProto, name: str, dims: Dims) -> list[NodeProto]:
    return _dequantised(node, name, axis=0, block=block_of(dims))


def _dequantised(node: NodeProto, name: str, *, axis: int, block: int = 0) -> list[NodeProto]:
    # one DequantizeLinear for each reader: ONNX Runtime fuses no shared one
    (x, weight), out = node.input, node.output[0]
    wide = f"{out}.dequantized"
    read = helper.make_node("DequantizeLinear", [weight, scale_of(name)], [wide], wide, axis=axis)
    if block:
        read.attribute.append(helper.make_attribute("block_size", block))
    return [read, helper.make_node("MatMul", [x, wide], [out], node.name)]


def _cast(x: str, out: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [x], [out], out, to=kind)


WIDE = Form(specs=_wide, encode=lambda array: (laid(array, np.float32),), read=_as_it_is)
HALF = Form(specs=_half, encode=lambda array: (laid(array, np.float16),), read=_half_product)
HALF_TABLE = Form(specs=_half, encode=lambda array: (laid(array, np.float16),), read=_half_rows)
INT8 = Form(specs=_bytes, encode=per_channel, read=_by_channel)
INT4 = Form(
    specs=_nibbles,
    encode=_encode_nibbles,
    read=_by_block,
    fits=lambda dims: block_of(dims) > 0,
)
