"""INT8 as ONNX Runtime's CPU kernels want it: unsigned activations, and products with their bias.

A lowering, made from the portable graph for a CPU alone: TensorRT refuses what it gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.absent import is_absent
from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.fused_attention import fused_attention
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import Wiring, copied, put, stored, wiring
from edgespark.engines.straighten import MATRIX

__all__ = ["cpu_int8", "unsigned_products"]

ZERO = "uint8.zero"
MIDDLE = 128  # the uint8 code of zero: the codes of int8, moved up by as much


def cpu_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write the products of an INT8 graph, and float attention, as ONNX Runtime's own operators.

    Needs: a graph as `quantize` leaves it; weights may be absent. Gives: the same function but for
    rounding of float32; the graph's inputs and outputs keep their names. What is in no such form
    stays as it is.
    """
    return unsigned_products(fused_attention(model))


def unsigned_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write MatMuls with constant int8 matrices as MatMulIntegerToFloat of uint8 by int8.

    Needs: both factors come from a DequantizeLinear with zero point 0, the first of them from a
    QuantizeLinear with one scale; the second is a constant matrix with one scale, or one for each
    column.
    Gives: the same codes, 128 higher, so the same sums. An Add of a constant vector that alone
    reads a product becomes its bias, and the product's own tensor goes.

    On x86 without VNNI, ONNX Runtime's kernels saturate pairs of such products at 16 bits, unless
    `session.x64quantprecision` is "1", which mends those with a constant factor alone. So products
    of two activations stay as they are: ONNX Runtime multiplies int8 by int8 there, which does not
    saturate. As uint8 by uint8 they would take as long.
    """
    made = copied(model)
    seen = wiring(made.graph)
    found = {each.out: each for node in made.graph.node if (each := _product(node, seen))}
    if not found:
        return made
    made.graph.initializer.append(stored(ZERO, np.array(MIDDLE, np.uint8)))
    writer = _Writer(twins={each.codes for each in found.values()})
    put(made.graph, [new for node in made.graph.node for new in writer.written(node, found)])
    sweep(made.graph)
    import_contributed(made)
    return made


@dataclass(frozen=True, kw_only=True, slots=True)
class _Product:
    """A product: int8 `codes` by the constant `factor`; `out` is its sum with the bias."""

    out: str
    codes: str
    scale: str
    factor: str
    factor_scale: str
    bias: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Writer:
    """Writes what is to stand in the place of each node."""

    twins: set[str] = field(default_factory=set)

    def written(self, node: NodeProto, found: Mapping[str, _Product]) -> Iterator[NodeProto]:
        out = node.output[0]
        if out not in found:
            yield node
        if out in self.twins:
            twin = f"{out}.uint8"
            yield helper.make_node("QuantizeLinear", [*node.input[:2], ZERO], [twin], twin)
        if out in found:
            yield _integer(found[out])


def _integer(product: _Product) -> NodeProto:
    inputs = [
        f"{product.codes}.uint8",
        product.factor,
        product.scale,
        product.factor_scale,
        ZERO,
        "",  # the factor's zero point is 0
        product.bias,
    ]
    while not inputs[-1]:
        del inputs[-1]
    return helper.make_node(
        "MatMulIntegerToFloat", inputs, [product.out], product.out, domain=CONTRIBUTED
    )


def _product(node: NodeProto, seen: Wiring) -> _Product | None:
    """Read a MatMul of a dequantised tensor and constant matrix; None for anything else."""
    if node.op_type != "MatMul":
        return None
    first, second = (_read(name, seen) for name in node.input)
    if first is None or second is None or not _quantised(first.input[0], seen):
        return None
    if not _columns(second, seen):
        return None
    add, bias = _bias(node, seen, seen.weights[second.input[0]].dims[1])
    return _Product(
        out=node.output[0] if add is None else add.output[0],
        codes=first.input[0],
        scale=first.input[1],
        factor=second.input[0],
        factor_scale=second.input[1],
        bias=bias,
    )


def _bias(node: NodeProto, seen: Wiring, width: int) -> tuple[NodeProto | None, str]:
    """Find the Add of a constant vector [width] that alone reads a product; None where none does.

    Unlike `bias_of` it looks at the vector's shape alone: what it holds may be absent.
    """
    add = seen.sole_reader(node.output[0])
    if add is None or add.op_type != "Add":
        return None, ""
    (other,) = [name for name in add.input if name != node.output[0]] or [""]
    held = seen.weights.get(other)
    if held is None or held.data_type != TensorProto.FLOAT or list(held.dims) != [width]:
        return None, ""
    return add, other


def _read(name: str, seen: Wiring) -> NodeProto | None:
    """Return the DequantizeLinear of int8 numbers around zero that gives a tensor; else None."""
    node = seen.makers.get(name)
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in seen.weights:
        return None
    return node if _is_around_zero(node, seen) else None


def _is_around_zero(node: NodeProto, seen: Wiring) -> bool:
    zero = seen.weights.get(node.input[2]) if len(node.input) > 2 else None  # noqa: PLR2004
    if zero is not None:
        is_known = zero.data_type == TensorProto.INT8 and not is_absent(zero)
        return is_known and not seen.array(zero.name).any()
    weight = seen.weights.get(node.input[0])
    return weight is not None and weight.data_type == TensorProto.INT8


def _quantised(codes: str, seen: Wiring) -> bool:
    """Tell whether a QuantizeLinear gives these codes, with one scale for the whole tensor."""
    node = seen.makers.get(codes)
    if node is None or node.op_type != "QuantizeLinear":
        return False
    scale = seen.weights.get(node.input[1])
    return scale is not None and prod(scale.dims) == 1 and _is_around_zero(node, seen)


def _columns(read: NodeProto, seen: Wiring) -> bool:
    """Tell whether this reads a constant matrix with one scale, or one for each column."""
    weight, scale = seen.weights.get(read.input[0]), seen.weights[read.input[1]].dims
    if weight is None or len(weight.dims) != MATRIX:
        return False
    given = {each.name: helper.get_attribute_value(each) for each in read.attribute}
    along = given.get("axis", 1) in (1, -1) and not given.get("block_size", 0)
    return prod(scale) == 1 or (along and list(scale) == [weight.dims[1]])
