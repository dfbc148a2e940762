"""The runtime's stand-in with real graphs, on disk, and samples for it that lie in memory.

Its parts compute what `tests.runtime.stand_in_parts` computes, but for the encoders, which have a
convolution and a product.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgespark.calibration.sets import Sample
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Head, Part, Port, Variant
from edgespark.runtime.parts import fed, given
from tests.runtime.on_disk import write
from tests.runtime.stand_in import LABELS, SIZE, WEIGHTS, StandIn, port

Array = NDArray[np.generic]
OPSET, IR = 18, 9
ROUTES = ("rgb", "range", "language")
KINDS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
DRAW = np.random.default_rng(2)
ENCODERS = {n: DRAW.normal(size=(2 * n, n, SIZE, SIZE)).astype(np.float32) / 8 for n in (2, 3)}
TURNS = {n: DRAW.normal(size=(n, 3)).astype(np.float32) for n in (2, 3)}
DEPTH = Head(
    part="depth", task="regression", prompt=" depth", shape=(2,), unit="m", metrics=("MAE",)
)


@dataclass
class Drawn:
    """Samples in memory, as a set gives them; `read` says how often each modality was asked for."""

    by: dict[str, list[Sample]]
    digest: str = "5" * 64
    read: dict[str, int] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.by)

    def count(self, modality: str) -> int:
        return len(self.by[modality])

    def samples(self, modality: str) -> Iterator[Sample]:
        self.read[modality] = self.read.get(modality, 0) + 1
        yield from self.by[modality]


def image(index: int, bands: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(index).normal(size=(bands, SIZE, SIZE)).astype(np.float32)


def drawn(count: int = 3) -> Drawn:
    """Return so many samples of each modality; those of images have labels, targets and answers."""
    made: dict[str, list[Sample]] = {name: [] for name in ROUTES}
    for i in range(count):
        label = i % len(LABELS)
        target = np.array([i, -i], np.float64)
        made["rgb"].append(
            Sample(value=image(i), label=label, answer="x", question="Which?", where=f"rgb {i}")
        )
        made["range"].append(Sample(value=image(i, 2), target=target, where=f"range {i}"))
        made["language"].append(Sample(value=f"note {i}", where=f"language {i}"))
    return Drawn(made)


def small(root: Path, graphs: Mapping[str, bytes] | None = None) -> Bundle:
    """Write the bundle, with `graphs` in place of some parts' own, and open it."""
    whole = StandIn().manifest
    routes = {name: whole.route(name) for name in ROUTES}
    routes["range"] = replace(routes["range"], head=DEPTH)
    made = parts()
    manifest = replace(
        whole,
        routes=tuple(routes.values()),
        parts=tuple(made.values()),
        variants=(Variant(name="fp32", precisions=dict.fromkeys(made, "fp32")),),
    )
    files = {
        part.graphs[0].file.path: (graphs or {}).get(name, graph(name))
        for name, part in made.items()
    }
    return Bundle.open(write(StandIn(manifest=manifest), root, files))


def parts() -> dict[str, Part]:
    """Return the parts; all encoders give three channels, which the bridge takes."""
    whole = StandIn().manifest
    made = {name: whole.part(name) for name in BUILD}
    made["encoder_sar"] = replace(
        made["encoder_sar"], outputs=(port("tokens", "batch", 2, len(LABELS)),)
    )
    return made


def graph(name: str, **scales: float) -> bytes:
    """Return a part's graph, with these weights multiplied."""
    part = parts()[name]
    nodes, weights = BUILD[name]
    scaled = {each: w * np.asarray(scales.get(each, 1), w.dtype) for each, w in weights.items()}
    stored = [numpy_helper.from_array(np.ascontiguousarray(w), n) for n, w in scaled.items()]
    made = helper.make_graph(
        nodes,
        name,
        [_value(port) for port in fed(part, part.graphs[0])],
        [_value(port) for port in given(part, part.graphs[0])],
        stored,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=IR)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _value(port: Port) -> onnx.ValueInfoProto:
    sizes = [axis.low if axis.static else axis.name for axis in port.axes]
    return helper.make_tensor_value_info(port.name, KINDS[port.dtype], sizes)


def _encoder(bands: int) -> tuple[list[NodeProto], dict[str, Array]]:
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["patches"]),
        helper.make_node("Reshape", ["patches", "sizes"], ["rows"]),
        helper.make_node("MatMul", ["rows", "turn"], ["tokens"]),
    ]
    sizes = np.array([0, 2, bands], np.int64)
    return nodes, {"kernel": ENCODERS[bands], "sizes": sizes, "turn": TURNS[bands]}


def _decoder() -> tuple[list[NodeProto], dict[str, Array]]:
    node = helper.make_node
    nodes = [
        node("MatMul", ["inputs_embeds", "mix"], ["mixed"]),
        node("Transpose", ["mixed"], ["turned"], perm=[1, 0, 2]),
        node("Unsqueeze", ["turned", "two"], ["heads"]),
        node("Cast", ["position_ids"], ["positions"], to=TensorProto.FLOAT),
        node("Add", ["positions", "one"], ["after"]),
        node("Cos", ["after"], ["cosines"]),
        node("Transpose", ["cosines"], ["upright"], perm=[1, 0]),
        node("Unsqueeze", ["upright", "two_three"], ["turns"]),
        node("Mul", ["heads", "turns"], ["new.0"]),
        node("Concat", ["past.0", "new.0"], ["all"], axis=0),
        node("CumSum", ["all", "zero"], ["seen"]),
        node("Shape", ["past.0"], ["past_sizes"], start=0, end=1),
        node("Add", ["past_sizes", "select"], ["where"]),
        node("Gather", ["seen", "where"], ["last"], axis=0),
        node("Tanh", ["last"], ["bent"]),
        node("Squeeze", ["bent", "two"], ["flat"]),
        node("Transpose", ["flat"], ["hidden"], perm=[1, 0, 2]),
        node("MatMul", ["hidden", "words"], ["logits"]),
    ]
    return nodes, {
        "two": np.array([2]),
        "two_three": np.array([2, 3]),
        "one": np.array(1, np.float32),
        "zero": np.array(0),
        "words": WEIGHTS.embeddings.T,
        "mix": WEIGHTS.mix,
    }


def _product(given: str, weight: Array, made: str) -> tuple[list[NodeProto], dict[str, Array]]:
    return [helper.make_node("MatMul", [given, "weight"], [made])], {"weight": weight}


def _embedder() -> tuple[list[NodeProto], dict[str, Array]]:
    node = helper.make_node("Gather", ["words", "input_ids"], ["embeds"], axis=0)
    return [node], {"words": WEIGHTS.embeddings}


BUILD = {
    "encoder_rgb": _encoder(3),
    "encoder_sar": _encoder(2),
    "bridge": _product("media", WEIGHTS.bands, "tokens"),
    "embedder": _embedder(),
    "decoder": _decoder(),
    "head_rgb": _product("hidden", WEIGHTS.heads[0], "scores"),
    "depth": _product("hidden", WEIGHTS.walk[:, :2], "scores"),
}
