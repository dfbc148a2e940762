"""INT8 arithmetic, written as pairs of QuantizeLinear and DequantizeLinear around its factors."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgespark.engines.passes.wiring import Wiring, copied, drop_unread, put, stored, wiring
from edgespark.engines.passes.work import Work, works
from edgespark.engines.quantise import LARGEST, per_channel

__all__ = ["per_output", "quantize", "rounded", "rounded_weight"]

ZERO = "int8.zero"


def quantize(
    model: onnx.ModelProto, layers: Collection[str], peaks: Mapping[str, float]
) -> onnx.ModelProto:
    """Let these layers multiply int8 numbers: symmetric, their zero at 0.

    Needs: layers are linear, conv, scores or mixes (`passes.work`), with finite weights; `peaks`
    has the greatest magnitude, above zero, that each of their computed factors is to hold. It may
    have that of a Conv's result.
    Gives: factors rounded to one scale per tensor, weights to one per output channel, biases as
    they were. A layer's own tensor keeps its name and stays float32.

    ONNX Runtime 1.31 turns a MatMul of two DequantizeLinears into MatMulIntegerToFloat, but a Conv
    into QLinearConv only where its result is quantised at once, before a Relu. Each reader has
    a DequantizeLinear of its own: ONNX Runtime fuses no shared one.
    """
    made = copied(model)
    seen = wiring(made.graph)
    found = {each.name: each for each in works(made.graph) if each.name in layers}
    writer = _Writer(graph=made.graph, peaks=peaks)
    made.graph.initializer.append(stored(ZERO, np.array(0, np.int8)))
    put(
        made.graph,
        [
            new
            for node in list(made.graph.node)
            for new in (
                writer.layer(found[node.output[0]], seen) if node.output[0] in found else [node]
            )
        ],
    )
    _reroute(made.graph, writer.rerouted)
    drop_unread(made.graph, [ZERO, *(each.weight for each in found.values())])
    return made


def per_output(
    weight: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a weight to int8 with one scale for each place along an axis: codes and scales."""
    turned = np.moveaxis(weight, axis, -1)
    codes, scales = per_channel(turned.reshape(-1, turned.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(codes.reshape(turned.shape), -1, axis)), scales


def rounded_weight(weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the weight as `quantize` keeps it: rounded, with one scale for each output channel."""
    codes, scales = per_output(weight, axis)
    shape = [1] * weight.ndim
    shape[axis] = -1
    return codes * scales.reshape(shape)


def rounded(array: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Return a tensor as `quantize` rounds it to a range: halves to even, and clipped.

    ONNX, QuantizeLinear: the least code is -128, one step beyond -peak.
    """
    step = np.float32(peak / LARGEST)
    return np.clip(np.rint(array / step), -LARGEST - 1, LARGEST) * step


@dataclass(kw_only=True, slots=True)
class _Writer:
    """Writes the nodes of one layer after another; remembers what is quantised already."""

    graph: onnx.GraphProto
    peaks: Mapping[str, float]
    written: set[str] = field(default_factory=set)
    rerouted: dict[str, str] = field(default_factory=dict)

    def layer(self, work: Work, seen: Wiring) -> Iterator[NodeProto]:
        node, out = work.node, work.name
        narrow = NodeProto()
        narrow.CopyFrom(node)
        for place, name in enumerate(work.tensors):
            narrow.input[place] = f"{out}.factor{place}"
            yield from self._pair(name, narrow.input[place])
        if work.weight:
            narrow.input[1] = f"{out}.weights"
            yield self._weight(work, seen, narrow.input[1])
        yield narrow
        if work.kind == "conv" and out in self.peaks and out not in seen.outputs:
            self.rerouted[out] = f"{out}.dequantized"
            yield from self._pair(out, self.rerouted[out])

    def _pair(self, name: str, read: str) -> Iterator[NodeProto]:
        """Round a tensor to int8, unless that is done, and read it back under another name."""
        scale, codes = f"{name}.scale", f"{name}.int8"
        if name not in self.written:
            self.written.add(name)
            step = np.array(self.peaks[name] / LARGEST, np.float32)
            self.graph.initializer.append(stored(scale, step))
            yield helper.make_node("QuantizeLinear", [name, scale, ZERO], [codes], codes)
        yield helper.make_node("DequantizeLinear", [codes, scale, ZERO], [read], read)

    def _weight(self, work: Work, seen: Wiring, read: str) -> NodeProto:
        codes, scale = f"{work.weight}.int8", f"{work.weight}.scale"
        if work.weight not in self.written:
            self.written.add(work.weight)
            weight = np.asarray(seen.array(work.weight), np.float32)
            whole, steps = per_output(weight, work.axis)
            self.graph.initializer.extend([stored(codes, whole), stored(scale, steps)])
        return helper.make_node("DequantizeLinear", [codes, scale], [read], read, axis=work.axis)


def _reroute(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Let other nodes read what became of a tensor, where they read the tensor itself."""
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            continue
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
