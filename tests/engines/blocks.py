"""A small transformer block and a small CNN, and the statistics of what their products read."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from edgespark.calibration.ranges import PartCalibration, Provenance
from edgespark.calibration.statistics import Observer
from edgespark.engines.passes.work import works
from tests.engines.typed import Array, graph, normal

TOKENS, WIDE, HEADS = 8, 32, 4
BLOCK = """
block (float[batch, 8, 32] x) => (float[batch, 8, 32] y) {
    n = LayerNormalization <axis = -1> (x, gain, offset)
    q0 = MatMul(n, wq)
    q = Add(q0, bq)
    k = MatMul(n, wk)
    v0 = MatMul(n, wv)
    v = Add(v0, bv)
    q4 = Reshape(q, heads)
    qt = Transpose <perm = [0, 2, 1, 3]> (q4)
    qs = Mul(qt, root)
    k4 = Reshape(k, heads)
    kt = Transpose <perm = [0, 2, 3, 1]> (k4)
    v4 = Reshape(v, heads)
    vt = Transpose <perm = [0, 2, 1, 3]> (v4)
    scores = MatMul(qs, kt)
    probabilities = Softmax <axis = -1> (scores)
    mixed = MatMul(probabilities, vt)
    back = Transpose <perm = [0, 2, 1, 3]> (mixed)
    flat = Reshape(back, whole)
    o0 = MatMul(flat, wo)
    o = Add(o0, bo)
    r = Add(x, o)
    n2 = LayerNormalization <axis = -1> (r, gain2, offset2)
    h0 = MatMul(n2, w1)
    h = Add(h0, b1)
    a = Relu(h)
    z0 = MatMul(a, w2)
    z = Add(z0, b2)
    y = Add(r, z)
}
"""
CNN = """
cnn (float[batch, 2, 8, 8] x) => (float[batch, 6, 4, 4] y) {
    c1 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)
    r1 = Relu(c1)
    c2 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r1, w2, b2)
    s = Add(r1, c2)
    y = Relu(s)
}
"""


def block() -> onnx.ModelProto:
    """Make a transformer block as the tracer writes one; its keys have no bias."""
    wide = ("q", "k", "v", "o")
    weights: dict[str, Array] = {
        f"w{each}": normal(WIDE, WIDE, seed=seed) / 6 for seed, each in enumerate(wide)
    }
    weights |= {f"b{each}": normal(WIDE, seed=9) / 9 for each in ("q", "v", "o", "2")}
    weights |= {"gain": 1 + normal(WIDE, seed=10) / 9, "offset": normal(WIDE, seed=11) / 9}
    weights |= {"gain2": 1 + normal(WIDE, seed=12) / 9, "offset2": normal(WIDE, seed=13) / 9}
    weights |= {"w1": normal(WIDE, 64, seed=14) / 6, "b1": normal(64, seed=15) / 9}
    weights |= {"w2": normal(64, WIDE, seed=16) / 8, "root": np.array(8**-0.5, np.float32)}
    weights |= {"heads": np.array([-1, TOKENS, HEADS, WIDE // HEADS])}
    return graph(BLOCK, weights | {"whole": np.array([-1, TOKENS, WIDE])})


def planted(factor: float = 100) -> onnx.ModelProto:
    """Make the same function of a block whose third normalised channel is that much larger."""
    model = block()
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each).copy()
        if each.name in ("gain", "offset", "gain2", "offset2"):
            array[3] *= factor
        if each.name in ("wq", "wk", "wv", "w1"):
            array[3] /= factor
        each.CopyFrom(onnx.numpy_helper.from_array(array, each.name))
    return model


def cnn() -> onnx.ModelProto:
    """Make two Convs of three by three, the second beside a shortcut."""
    weights: dict[str, Array] = {"w1": normal(6, 2, 3, 3) / 4, "b1": normal(6, seed=1)}
    weights |= {"w2": normal(6, 6, 3, 3, seed=2) / 7, "b2": normal(6, seed=3)}
    return graph(CNN, weights)


def samples(count: int = 24, *shape: int) -> list[dict[str, NDArray[np.float32]]]:
    """Draw inputs of a block, or of another shape, one sample each."""
    return [{"x": normal(1, *(shape or (TOKENS, WIDE)), seed=100 + n)} for n in range(count)]


def calibration(
    model: onnx.ModelProto, fed: Iterable[Mapping[str, Array]], part: str = "part"
) -> PartCalibration:
    """Gather what the products of a prepared graph read on these samples."""
    axes = {
        name: 1 if work.kind == "conv" else -1
        for work in works(model.graph)
        for name in work.tensors
    }
    observers = {name: Observer(axis) for name, axis in axes.items()}
    made = [name for node in model.graph.node for name in node.output]
    peaks = dict.fromkeys(made, 0.0)
    for each in fed:
        held = {**each, **values(model, each, made)}
        for name, observer in observers.items():
            observer.observe(held[name])
        peaks = {name: max(peak, float(np.abs(held[name]).max())) for name, peak in peaks.items()}
    tensors = {name: each.finish() for name, each in observers.items()}
    origin = Provenance(set="0" * 64, graph="0" * 64, preprocessing={}, samples={})
    return PartCalibration(part=part, provenance=origin, tensors=tensors, peaks=peaks)


def values(
    model: onnx.ModelProto, fed: Mapping[str, Array], names: Iterable[str]
) -> dict[str, Array]:
    """Run a graph node by node, and return these of its tensors."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    there = {each.name for each in model.graph.output}
    wanted = list(names)
    for name in sorted({*wanted} - there):
        shown.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return dict(zip(wanted, session.run(wanted, dict(fed)), strict=True))


def error(made: onnx.ModelProto, true: onnx.ModelProto, fed: list[dict[str, Array]]) -> float:
    """Return the error of the first output over all samples, relative to its length."""
    name = true.graph.output[0].name
    wanted, got = (
        np.concatenate([values(model, each, [name])[name] for each in fed])
        for model in (true, made)
    )
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
