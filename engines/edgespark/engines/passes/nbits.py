"""Products with integer weights as ONNX Runtime's MatMulNBits: weights in blocks, never widened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.absent import absent
from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Wiring, copied, put, wiring
from edgespark.engines.sourced import Array, Sourced
from edgespark.engines.straighten import MATRIX
from edgespark.runtime.errors import CheckError

__all__ = ["nbits"]

BITS: Mapping[int, int] = {TensorProto.INT8: 8, TensorProto.INT4: 4}  # by ONNX dtype
BLOCKS = (256, 128, 64, 32, 16)  # that its kernels know
# With int8 weights, blocks of 256 save a sixth of one thread's time, and none that shows of two
# threads'; the error by rounding the first factor is a tenth larger (162 M random weights).
LARGEST = 128
PADDING = 1 / 8  # of the rows; what is added to fill the last block is read too
BYTE = 8
INT8_SUMS = 4  # accuracy_level: rows of the first factor are rounded to int8, block by block
SLAB = 1 << 22  # codes that are turned at once


@dataclass(frozen=True, kw_only=True, slots=True)
class _Product:
    """x by a weight [rows, columns] of some bits, with a scale for each block of rows."""

    node: NodeProto
    weight: str
    scale: str
    bits: int
    block: int
    rows: int
    columns: int

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.block)

    @property
    def dims(self) -> tuple[int, int, int]:
        return self.columns, self.blocks, self.block * self.bits // BYTE


def nbits(given: Sourced, largest: int = LARGEST) -> Sourced:
    """Write each MatMul with a dequantised int8 or int4 matrix as one MatMulNBits.

    Needs: the matrix is read by a DequantizeLinear without zero point (or all zero) that nothing
    else reads, with one scale for each column, or one for each block of rows of a column.
    Gives: the same codes and scales; where a column has one scale, it is repeated for blocks of at
    most `largest` rows. Sums are of int8 by integers: the first factor is rounded, with a scale for
    each block. An Add of a constant vector that alone reads the product becomes its bias.
    CheckError for a dequantised matrix of another form.
    """
    made = copied(given.model)
    seen = wiring(made.graph)
    found = [each for node in made.graph.node if (each := _product(node, given, seen, largest))]
    if not found:
        return given
    makers: dict[str, Callable[[], Array]] = {}
    nodes: dict[str, NodeProto] = {}
    for each in found:
        node, old = _written(each, seen)
        nodes[old] = node
        specs = {
            node.input[1]: (TensorProto.UINT8, each.dims, _codes),
            node.input[2]: (TensorProto.FLOAT, (each.columns * each.blocks,), _scales),
        }
        for name, (kind, dims, make) in specs.items():
            makers[name] = _bound(make, each, given)
            made.graph.initializer.append(absent(name, kind, dims))
    put(made.graph, [nodes.get(node.output[0], node) for node in made.graph.node])
    sweep(made.graph)
    import_contributed(made)
    return Sourced(model=made, source=given.adding(makers))


def _bound(
    make: Callable[[_Product, Sourced], Array], product: _Product, given: Sourced
) -> Callable[[], Array]:
    return lambda: make(product, given)


def _written(product: _Product, seen: Wiring) -> tuple[NodeProto, str]:
    """Write the node, and name the tensor that it gives."""
    bias, out = _bias(product, seen)
    name = f"{product.weight}.{product.bits}bits"
    inputs = [product.node.input[0], name, f"{name}.scales", *(["", "", bias] if bias else [])]
    node = helper.make_node(
        "MatMulNBits",
        inputs,
        [out],
        out,
        domain=CONTRIBUTED,
        K=product.rows,
        N=product.columns,
        bits=product.bits,
        block_size=product.block,
        accuracy_level=INT8_SUMS,
    )
    return node, out


def _bias(product: _Product, seen: Wiring) -> tuple[str, str]:
    """Find the constant vector that alone is added to a product, and the sum."""
    out = product.node.output[0]
    add = seen.sole_reader(out)
    if add is not None and add.op_type == "Add":
        (other,) = [each for each in add.input if each != out] or [""]
        held = seen.weights.get(other)
        if held is not None and tuple(held.dims) == (product.columns,):
            return other, add.output[0]
    return "", out


def _product(node: NodeProto, given: Sourced, seen: Wiring, largest: int) -> _Product | None:
    read = seen.makers.get(node.input[1]) if node.op_type == "MatMul" else None
    if read is None or read.op_type != "DequantizeLinear":
        return None
    weight = seen.weights.get(read.input[0])
    if weight is None:
        return None  # an activation
    dims, told = tuple(weight.dims), {each.name: each for each in read.attribute}
    size = told["block_size"].i if "block_size" in told else 0
    axis = (told["axis"].i if "axis" in told else 1) % MATRIX
    scales = tuple(seen.weights[read.input[1]].dims) if read.input[1] in seen.weights else None
    is_known = (
        len(dims) == MATRIX
        and weight.data_type in BITS
        and _is_plain(read, given)
        and (
            (size == 0 and axis == 1 and scales == dims[1:])
            or (size in BLOCKS and axis == 0 and scales == (-(-dims[0] // size), dims[1]))
        )
    )
    if not is_known:
        raise CheckError(
            f"{weight.name}: no form that MatMulNBits takes: expected int8 or int4 [rows, columns] "
            "around zero, with a scale for each column, or for each block of rows"
        )
    return _Product(
        node=node,
        weight=weight.name,
        scale=read.input[1],
        bits=BITS[weight.data_type],
        block=size or _block(dims[0], largest),
        rows=dims[0],
        columns=dims[1],
    )


def _block(rows: int, largest: int) -> int:
    """Choose the largest block that adds little to a column; else the one that adds the least."""
    added = {each: -rows % each for each in BLOCKS if each <= largest}
    few = [each for each, more in added.items() if more <= PADDING * rows]
    return few[0] if few else min(added, key=lambda each: added[each])


def _is_plain(read: NodeProto, given: Sourced) -> bool:
    """Tell whether codes are around zero."""
    names = list(read.input[2:])
    return not any(names) or not given.array(names[0]).any()


def _codes(product: _Product, given: Sourced) -> Array:
    """Turn codes [rows, columns] to uint8 [columns, blocks, bytes], zero in the middle."""
    codes = given.array(product.weight)
    made = np.empty(product.dims, np.uint8)
    middle = np.uint8(1 << (product.bits - 1))
    step = max(1, SLAB // (product.blocks * product.block))
    for start in range(0, product.columns, step):
        where = slice(start, start + step)
        slab = np.full((len(made[where]), product.blocks * product.block), middle, np.uint8)
        slab[:, : product.rows] += codes[:, where].T.view(np.uint8)
        made[where] = PACKED[product.bits](slab).reshape(-1, *product.dims[1:])
    return made


def _scales(product: _Product, given: Sourced) -> Array:
    """Lay out scales [columns, blocks], flat."""
    scales = given.array(product.scale)
    if scales.ndim == 1:
        return scales.repeat(product.blocks)
    return np.ascontiguousarray(scales.T).reshape(-1)


def _nibbles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low = codes & np.uint8(15)
    return low[:, 0::2] | (low[:, 1::2] << np.uint8(4))


PACKED: Mapping[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    8: lambda codes: codes,
    4: _nibbles,
}
