"""Cross-layer equalisation: convolutions in a row whose channels differ in size share it.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv 1906.04721, section 4.1, with powers of two, so that float32 graphs stay the same bit by bit.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from edgespark.engines.passes.wiring import Wiring, copied, exchange, wiring

__all__ = ["equalise"]

Floats = NDArray[np.float32]
LEAST = 8.0
"""Powers of two that are worth a change: trained networks differ by less, which does no harm."""
FARTHEST = 14.0  # a factor lies between 2^-14 and 2^14


def equalise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Divide channels between two convolutions so that both have weights of one size there.

    Needs: a float32 graph. Gives: the same function; tensors between a Conv and the only Convs that
    read it, perhaps through a Relu, are divided in those channels whose weights before and after
    are 256 times apart or more. Doing it twice changes nothing more.
    """
    made = copied(model)
    names = {node.input[0]: None for node in made.graph.node if node.op_type == "Conv"}
    for name in names:
        _even(made, name)
    return made


def _even(made: onnx.ModelProto, name: str) -> None:
    seen = wiring(made.graph)
    before, after = _maker(name, seen), _readers(name, seen)
    if before is None or not after:
        return
    weight = _kernel(before, seen)
    kernels = [_kernel(node, seen) for node in after]
    bias = seen.floats(before.input[2]) if len(before.input) > 2 else None  # noqa: PLR2004
    factors = _factors(weight, kernels, bias)
    if factors is None:
        return
    column = factors.reshape(-1, *[1] * (weight.ndim - 1))
    exchange(made.graph, before, 1, weight / column)
    if bias is not None:
        exchange(made.graph, before, 2, bias / factors)
    for node, kernel in zip(after, kernels, strict=True):
        exchange(made.graph, node, 1, kernel * np.moveaxis(column, 0, 1))


def _factors(weight: Floats, kernels: list[Floats], bias: Floats | None) -> Floats | None:
    """Return what each channel is divided by; None where all are even enough."""
    given = np.abs(weight.reshape(len(weight), -1)).max(1)
    if bias is not None:
        given = np.maximum(given, np.abs(bias))
    taken = np.max(
        [np.abs(np.moveaxis(k, 1, 0)).reshape(k.shape[1], -1).max(1) for k in kernels], 0
    )
    sound = (given > 0) & (taken > 0) & np.isfinite(given) & np.isfinite(taken)
    if not sound.any():
        return None
    ratio = np.zeros(len(given))
    ratio[sound] = np.log2(given[sound] / taken[sound]) / 2
    powers = np.where(np.abs(ratio) >= LEAST / 2, np.clip(np.rint(ratio), -FARTHEST, FARTHEST), 0)
    return np.exp2(powers).astype(np.float32) if powers.any() else None


def _maker(name: str, seen: Wiring) -> NodeProto | None:
    """Return the Conv that makes a tensor, perhaps through a Relu; None where it must stay."""
    maker = seen.makers.get(name)
    if maker is not None and maker.op_type == "Relu" and name not in seen.outputs:
        inner = maker.input[0]
        maker = seen.makers.get(inner) if seen.sole_reader(inner) is not None else None
    changeable = maker is not None and maker.op_type == "Conv" and _plain(maker, seen)
    return maker if changeable and name not in seen.outputs else None


def _readers(name: str, seen: Wiring) -> list[NodeProto]:
    """Return the Convs that read a tensor; none where anything else does."""
    reads = seen.readers.get(name, [])
    fit = all(node.op_type == "Conv" and place == 0 and _plain(node, seen) for node, place in reads)
    return [node for node, _ in reads] if fit else []


def _plain(node: NodeProto, seen: Wiring) -> bool:
    """Tell whether a Conv has one group, and constants that can be changed."""
    grouped = any(each.name == "group" and each.i != 1 for each in node.attribute)
    constants = [name for name in node.input[1:] if name]
    return not grouped and all(seen.floats(name) is not None for name in constants)


def _kernel(node: NodeProto, seen: Wiring) -> Floats:
    found = seen.floats(node.input[1])
    if found is None:
        raise ValueError(f"{node.output[0]}: its kernel is no constant")
    return found
