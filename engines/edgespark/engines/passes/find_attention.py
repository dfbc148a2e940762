"""Where a decoder's attention lies: what makes queries, keys and values, and what it is read by."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import NodeProto

from edgespark.engines.passes.wiring import Wiring, wiring
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import State

__all__ = ["Attention", "find_attention", "is_projection"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Tensors of one layer's attention, [batch, sequence, heads x head_dim] each, and its states.

    `query`, `key` and `value` are what projections give, before positions are told to them; `out`
    is what the projection behind attention reads.
    """

    query: str
    key: str
    value: str
    out: str
    keys: State
    values: State


def find_attention(graph: onnx.GraphProto, states: Sequence[State]) -> tuple[Attention, ...]:
    """Find the attention of each layer by its states: around one Softmax each.

    Projections are MatMuls with constant matrices, stored in whatever form. CheckError where a
    state belongs to no attention of that kind.
    """
    seen = wiring(graph)
    found = [_attention(node, seen, states) for node in graph.node if node.op_type == "Softmax"]
    known = [each for each in found if each is not None]
    used = [state for each in known for state in (each.keys, each.values)]
    missing = [each.past.name for each in states if used.count(each) != 1]
    if missing or not states:
        raise CheckError(
            f"no attention was found around {', '.join(missing) or 'any state'}: expected a "
            "Softmax between four products with constant matrices, and one state for each of keys "
            "and values"
        )
    return tuple(known)


def is_projection(node: NodeProto | None, seen: Wiring) -> bool:
    """Tell whether this multiplies an activation with a constant matrix."""
    if node is None or node.op_type != "MatMul" or node.input[0] in seen.weights:
        return False
    read = seen.makers.get(node.input[1])
    held = read.input[0] if read and read.op_type == "DequantizeLinear" else node.input[1]
    return held in seen.weights


def _attention(softmax: NodeProto, seen: Wiring, states: Sequence[State]) -> Attention | None:
    out = _read_by(softmax.output[0], seen)
    if out is None:
        return None
    scores, whole = _reach(softmax.input, seen), _reach([out], seen)
    keys = [each for each in states if each.past.name in scores]
    values = [each for each in states if each.past.name in whole and each not in keys]
    if len(keys) != 1 or len(values) != 1:
        return None
    (key,), (value,) = (
        _projections(_reach([each[0].new.name], seen), seen) or [""] for each in (keys, values)
    )
    rest = [name for name in _projections(whole, seen) if name not in (key, value)]
    if not key or not value or len(rest) != 1:
        return None
    return Attention(query=rest[0], key=key, value=value, out=out, keys=keys[0], values=values[0])


def _read_by(name: str, seen: Wiring) -> str | None:
    """Follow a tensor to what the next projection reads."""
    while (node := seen.sole_reader(name)) is not None:
        if is_projection(node, seen):
            return name
        name = node.output[0]
    return None


def _projections(names: Iterable[str], seen: Wiring) -> list[str]:
    return sorted(name for name in names if name in seen.makers)


def _reach(names: Collection[str], seen: Wiring) -> set[str]:
    """Go back from tensors to projections, inputs and weights; sizes alone do not count."""
    waiting, found, passed = list(names), set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        node = seen.makers.get(name)
        if not name or name in passed:
            continue
        passed.add(name)
        if node is None or is_projection(node, seen):
            found.add(name)
        elif node.op_type != "Shape":
            waiting += node.input
    return found
