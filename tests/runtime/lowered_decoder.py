"""The stand-in's decoder as it is lowered: one sequence, and states in place; and its record."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import fingerprint
from edgespark.runtime.derived_record import FILE, Derived, sources
from edgespark.runtime.manifest import Axis, File, Graph, Part, Port, State
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import CONTEXT, WIDTH, Array, Arrays, StandIn, decode

GRAPH = b"a lowered decoder\n"
LOWERING = "cpu-2"
ONE = Axis(name="batch", low=1, high=1)
STEP = 0.125


def either(given: Mapping[str, Array]) -> Arrays:
    """Run as the lowered decoder, or as the portable one: by what is given."""
    return lowered(given) if "seqlens_k" in given else decode(given)


def lowered(given: Mapping[str, Array]) -> Arrays:
    """Do what `decode` does, with the rows of the past in [1, heads, context, width]."""
    memory, total = given["past.0"], int(given["total_sequence_length"])
    count = given["inputs_embeds"].shape[1]
    assert given["seqlens_k"].tolist() == [total - 1]
    before = total - count
    made = decode(
        {
            "inputs_embeds": given["inputs_embeds"],
            "position_ids": np.arange(before, total)[None],
            "select": given["select"],
            "past.0": memory[:, :, :before].transpose(2, 0, 1, 3),
        }
    )
    memory[:, :, before:total] = made["new.0"].transpose(1, 2, 0, 3)
    return {**made, "new.0": memory}


def in_place(state: State, step: float | None = None) -> State:
    axes = (ONE, state.past.axes[2], Axis(name="context", low=CONTEXT, high=CONTEXT))
    dtype = "float32" if step is None else "int8"
    past, new = (
        Port(name=each.name, dtype=dtype, axes=(*axes, state.past.axes[3]))  # type: ignore[arg-type]
        for each in (state.past, state.new)
    )
    return State(past=past, new=new, step=step)


def record(part: Part, graph: Graph, step: float | None = None) -> Derived:
    """Return what a lowering would say of the decoder's graph."""
    alone = [
        replace(port, axes=(ONE, *port.axes[1:])) if port.name != "select" else port
        for port in part.inputs
        if port.name != "position_ids"
    ]
    lengths = (
        Port(name="seqlens_k", dtype="int32", axes=(ONE,)),
        Port(name="total_sequence_length", dtype="int32", axes=()),
    )
    return Derived(
        lowering=LOWERING,
        part=part.name,
        precision=graph.precision,
        source=sources(graph),
        onnxruntime="1.31",
        inputs=(*alone, *lengths),
        outputs=tuple(replace(port, axes=(ONE, *port.axes[1:])) for port in part.outputs),
        states=tuple(in_place(each, step) for each in graph.states),
        file=file(f"{part.name}.{graph.precision}.onnx", GRAPH),
    )


def file(path: str, content: bytes) -> File:
    return File(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def text(made: Derived) -> bytes:
    return json.dumps(asdict(made)).encode()


def derive(bundle: Bundle, shelf: Path | None = None, part: str = "decoder") -> Path:
    """Put a derived graph of the part where it is looked for, and return its folder."""
    of = bundle.manifest.part(part)
    made = record(of, of.graphs[0])
    if part != "decoder":
        made = replace(made, inputs=of.inputs, outputs=of.outputs)
    name = fingerprint(bundle, of, of.graphs[0], LOWERING)
    folder = (shelf or bundle.root / "derived") / name
    folder.mkdir(parents=True)
    (folder / made.file.path).write_bytes(GRAPH)
    (folder / FILE).write_bytes(text(made))
    return folder


def bundle_of(stand_in: StandIn, root: Path) -> Bundle:
    """Write the stand-in with probes of true positions, a batch and a past among them."""
    return Bundle.open(write(stand_in, root, {"reference/decoder.npz": npz(probes())}))


def probes() -> dict[str, Array]:
    draw = np.random.default_rng(11)
    made: dict[str, Array] = {}
    for k, (batch, before, count) in enumerate([(2, 3, 5), (1, 0, 7), (1, 6, 1)]):
        inputs: dict[str, Any] = {
            "inputs_embeds": draw.normal(size=(batch, count, WIDTH)).astype(np.float32),
            "position_ids": np.broadcast_to(np.arange(before, before + count), (batch, count)),
            "select": np.array([0, count - 1]),
            "past.0": draw.normal(size=(before, batch, 1, WIDTH)).astype(np.float32),
        }
        sides = {"in": inputs, "out": decode(inputs)}
        made |= {f"{k}.{side}.{n}": a for side, each in sides.items() for n, a in each.items()}
    return made
