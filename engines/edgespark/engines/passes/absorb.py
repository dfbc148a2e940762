"""A tensor divided by constants, with no new node: the constants that make it are divided instead.

Every rule is exact but for rounding. A tensor on the way may have no other reader, and be no
output: it is divided, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import Shape, Wiring

__all__ = ["Edit", "Sources", "absorbed"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edit:
    """What a constant input of a node is to hold instead."""

    node: NodeProto
    place: int
    array: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The graph in which tensors are to be divided; those `held` must keep their values."""

    seen: Wiring
    shapes: Mapping[str, Shape]
    held: frozenset[str] = field(default_factory=frozenset)


def absorbed(name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Tell which constants to exchange, so that a tensor comes out divided by `factors`.

    `factors` has as many axes as the tensor, and one place along each that it does not vary along.
    None where it cannot be done.
    """
    maker = sources.seen.makers.get(name)
    rule = RULES.get(maker.op_type) if maker is not None else None
    if maker is None or rule is None or name in sources.seen.outputs or name in sources.held:
        return None
    return rule(maker, name, factors, sources)


def _on(name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Go on to an input that nothing else reads, and that has all places of the factors."""
    shape = sources.shapes.get(name, ())
    if sources.seen.sole_reader(name) is None or len(shape) != factors.ndim:
        return None
    if any(n not in (1, side) for n, side in zip(factors.shape, shape, strict=True)):
        return None
    return absorbed(name, factors, sources)


def _divided(node: NodeProto, place: int, factors: Floats, sources: Sources) -> list[Edit] | None:
    array = sources.seen.floats(node.input[place])
    if array is None:
        return None
    while factors.ndim > max(1, array.ndim) and len(factors) == 1:
        factors = factors[0]  # a vector stays a vector
    return [Edit(node=node, place=place, array=(array / factors).astype(np.float32))]


def _channels(factors: Floats, axis: int) -> Floats | None:
    """Return the factors along one axis; None where they vary along another."""
    return factors.reshape(-1) if factors.size == factors.shape[axis] else None


def _norm(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    vector = _channels(factors, -1)
    axis = next((each.i for each in node.attribute if each.name == "axis"), -1)
    if vector is None or axis not in (-1, factors.ndim - 1):
        return None
    return _all(node, [place for place in (1, 2) if _has(node, place)], vector, sources)


def _has(node: NodeProto, place: int) -> bool:
    return len(node.input) > place and bool(node.input[place])


def _all(
    node: NodeProto, places: list[int], factors: Floats, sources: Sources
) -> list[Edit] | None:
    edits = [_divided(node, place, factors, sources) for place in places]
    return None if None in edits else [each for some in edits for each in some or ()]


def _product(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Divide the constant factor of a Mul."""
    constant = [place for place, name in enumerate(node.input) if name in sources.seen.weights]
    return _divided(node, constant[0], factors, sources) if len(constant) == 1 else None


def _quotient(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    return _on(node.input[0], factors, sources)


def _sum(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Divide both terms, of which one is constant."""
    constant = [place for place, name in enumerate(node.input) if name in sources.seen.weights]
    if len(constant) != 1:
        return None
    here = _divided(node, constant[0], factors, sources)
    there = _on(node.input[1 - constant[0]], factors, sources)
    return None if here is None or there is None else [*here, *there]


def _matmul(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    if node.input[1] not in sources.seen.weights:  # rows are mixed: each with the same factors
        rows = factors.shape[-2] if factors.ndim > 1 else 0
        return _on(node.input[1], factors, sources) if rows == 1 else None
    vector = _channels(factors, -1)
    return None if vector is None else _divided(node, 1, vector, sources)


def _conv(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    vector = _channels(factors, 1)
    if vector is None:
        return None
    kernel = vector.reshape(-1, *[1] * (factors.ndim - 1))
    bias = _all(node, [2] if _has(node, 2) else [], vector, sources)
    weight = _divided(node, 1, kernel, sources)
    return None if bias is None or weight is None else [*weight, *bias]


def _relu(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    return _on(node.input[0], factors, sources) if (factors > 0).all() else None


def _turned(node: NodeProto, _name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
    perm = perm or list(range(factors.ndim))[::-1]
    return _on(node.input[0], factors.transpose(np.argsort(perm)), sources)


def _reshaped(node: NodeProto, name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Lay the factors out as before: the last axes, along which alone they vary, hold as much."""
    after = sources.shapes.get(name, ())
    before = sources.shapes.get(node.input[0], ())
    varies = [axis for axis, n in enumerate(factors.shape) if n > 1]
    least = factors.ndim - min(varies, default=factors.ndim - 1)
    for last in range(least, len(after) + 1):
        block = after[-last:]
        for axes in range(1, len(before) + 1):
            tail = before[-axes:]
            if None not in block and None not in tail and _size(block) == _size(tail):
                sides = [side or 0 for side in block]
                whole = np.broadcast_to(factors.reshape(factors.shape[-last:]), sides)
                laid = whole.reshape([1] * (len(before) - axes) + [side or 0 for side in tail])
                return _on(node.input[0], laid, sources)
    return None


def _size(shape: Shape) -> int:
    return prod(side or 0 for side in shape)


def _split(node: NodeProto, name: str, factors: Floats, sources: Sources) -> list[Edit] | None:
    """Divide that piece of the whole; the others keep their values."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    axis = given.get("axis", 0) % factors.ndim
    sides = [(sources.shapes.get(each, ()) or (None,) * factors.ndim)[axis] for each in node.output]
    if None in sides:
        return None
    pieces = []
    for each, side in zip(node.output, sides, strict=True):
        shape = [*factors.shape]
        shape[axis] = side or 0
        piece = factors if each == name else np.ones(1, np.float32)
        pieces.append(np.broadcast_to(piece, shape))
    return _on(node.input[0], np.concatenate(pieces, axis), sources)


RULES: Mapping[str, Callable[[NodeProto, str, Floats, Sources], list[Edit] | None]] = {
    "Add": _sum,
    "Conv": _conv,
    "Div": _quotient,
    "LayerNormalization": _norm,
    "MatMul": _matmul,
    "Mul": _product,
    "Relu": _relu,
    "Reshape": _reshaped,
    "Split": _split,
    "Transpose": _turned,
}
