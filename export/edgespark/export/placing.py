"""A stage's graph at one precision, written into the draft: made whole, or weight by weight."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgespark.calibration.moments import Moments
from edgespark.calibration.ranges import PartCalibration
from edgespark.engines.awq import scaled
from edgespark.engines.fp16 import halved, last
from edgespark.engines.gptq import products, rounder
from edgespark.engines.graphs import check, inline
from edgespark.engines.int8 import Int8, Ready, ready
from edgespark.engines.layers import Report
from edgespark.engines.passes.int8_cache import as_codes, int8_cache
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.streamed import How, store
from edgespark.engines.weight_only import Rounder, Weights
from edgespark.export.kept import Kept
from edgespark.export.layers import watched
from edgespark.export.made_of import made_of
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.outline import outline
from edgespark.export.pack import Draft
from edgespark.export.precisions import BY_WEIGHT, INTEGERS, integers
from edgespark.export.stage import Stage
from edgespark.export.trace import OPSET, graph_of
from edgespark.runtime.integers import Integers
from edgespark.runtime.manifest import File, Measurement, Precision, State

Array = NDArray[np.generic]
DECIDING = ("decoder", "head")
"""Roles whose outputs are compared with each other: logits, and scores."""
INLINE = 1 << 30  # bytes: protobuf holds no more than twice as many


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowering:
    """What a stage's narrower graphs are made by: what was gathered for it, and the methods.

    With `cache` a decoder's states are int8 where its weights are integers, which are made as
    `weights` says; `moments` gives what their rounding may need. `ready` is the stage's graph made
    ready for int8, where that was done before.
    """

    calibration: PartCalibration | None = None
    how: Int8 = field(default_factory=Int8)
    ready: Ready | None = None
    cache: bool = False
    weights: Weights = field(default_factory=Weights)
    moments: Callable[[Mapping[str, int]], Moments] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowered:
    """How a stage is lowered, and what was found on the way to that."""

    lowering: Lowering
    added: Mapping[str, float] = field(default_factory=dict)

    def told(self, measured: Measurement) -> Measurement:
        """Add to a measurement what each layer of that graph adds to the end of the chain."""
        if measured.precision != "int8":
            return measured
        finite = {name: error for name, error in self.added.items() if isfinite(error)}
        return replace(measured, added=finite)


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A graph in the draft, with the files of its weights, and what was done to its layers.

    `states` are those that this graph has; `weights` is as in the manifest.
    """

    precision: Precision
    content: bytes
    file: File
    data: tuple[File, ...] = ()
    states: tuple[State, ...]
    report: Report | None = None
    weights: Integers | None = None


class Traced:
    """A stage's graph, traced when it is first needed: without its weights, or with them."""

    def __init__(self, stage: Stage) -> None:
        """Take the stage; nothing is traced yet."""
        self.stage = stage

    @cached_property
    def outline(self) -> onnx.ModelProto:
        """The graph without its weights, which must not be changed."""
        module = self.stage.module
        names = watched(module) if isinstance(module, LlamaDecoder) else {}
        return outline(self.stage, names)

    @cached_property
    def whole(self) -> bytes:
        """The graph with its weights in it, float32, in the form that all precisions share."""
        model = onnx.load_from_string(graph_of(self.stage))
        return bytes(check(prepared(model), OPSET).SerializeToString())

    @property
    def streams(self) -> bool:
        """Whether the stage's weights are read one by one."""
        return self.stage.weights is not None

    def source(self) -> Callable[[str], Array]:
        """Return what gives a weight by the module's name for it."""
        own = self.stage.module.state_dict()
        read = self.stage.weights or own.__getitem__
        return lambda name: _array(read(name))

    def model(self) -> onnx.ModelProto:
        """Return the float32 graph with all its weights in memory, to be changed at will."""
        if not self.streams:
            return onnx.load_from_string(self.whole)
        with TemporaryDirectory() as folder:
            made = store(self.outline, self.source(), Path(folder), "weights", "fp32")
            return prepared(inline(made, Path(folder)))


def place(
    traced: Traced, precision: Precision, draft: Draft, kept: Kept | None, lowering: Lowering
) -> Placed:
    """Write the stage's graph at that precision into the draft.

    The weights of a decoder, of an embedder, and whatever is read one by one, are changed weight by
    weight; all else is changed as a whole. Raises CheckError, InputError as the passes do.
    """
    stage = traced.stage
    name = graph_name(stage, precision)
    if _by_weight(traced, precision):
        return _written(traced, precision, draft, kept, lowering)
    if precision == "fp32":
        content, report = traced.whole, None
    else:
        model, report = _lowered(traced, precision, lowering)
        content = model.SerializeToString()
    file = draft.add(f"graphs/{name}", content)
    return Placed(
        precision=precision, content=content, file=file, states=stage.states, report=report
    )


def _by_weight(traced: Traced, precision: Precision) -> bool:
    if traced.stage.role in BY_WEIGHT and traced.stage.graph is None:
        return True
    return traced.streams and precision != "int8"


def _lowered(
    traced: Traced, precision: Precision, lowering: Lowering
) -> tuple[onnx.ModelProto, Report]:
    calibration = lowering.calibration
    if precision == "fp16":
        return _halved(traced, traced.model(), calibration)
    if calibration is None:
        raise ValueError(f"{traced.stage.name}: {precision} without what was gathered for it")
    made = lowering.ready or ready(traced.model(), calibration, lowering.how)
    return made.graph(lowering.how.keep)


def _written(
    traced: Traced, precision: Precision, draft: Draft, kept: Kept | None, lowering: Lowering
) -> Placed:
    stage, name = traced.stage, graph_name(traced.stage, precision)
    make = partial(_write, traced, precision, name, lowering)
    if kept is None:
        make(draft.path(f"graphs/{name}").parent)
    else:
        for path in kept.files((name, data_of(name)), bound(stage, precision, lowering), make):
            draft.link(path, f"graphs/{path.name}")
    path = draft.path(f"graphs/{name}")
    data = (path.parent / data_of(name)).exists()
    told = precision == "fp16" and stage.role == "decoder"
    return Placed(
        precision=precision,
        content=path.read_bytes(),
        file=draft.record(f"graphs/{name}"),
        data=(draft.record(f"graphs/{data_of(name)}"),) if data else (),
        states=_states(stage, precision, lowering),
        weights=integers(stage.role, precision, lowering.weights),
        report=_halved(traced, traced.outline, lowering.calibration)[1] if told else None,
    )


def _states(stage: Stage, precision: Precision, lowering: Lowering) -> tuple[State, ...]:
    """Return the states of a graph that is changed weight by weight."""
    if not _as_codes(stage, precision, lowering):
        return stage.states
    return as_codes(stage.states, _peaks(stage, lowering))


def _as_codes(stage: Stage, precision: Precision, lowering: Lowering) -> bool:
    return lowering.cache and bool(stage.states) and precision in INTEGERS


def _peaks(stage: Stage, lowering: Lowering) -> Mapping[str, float]:
    if lowering.calibration is None:
        raise ValueError(f"{stage.name}: int8 states without what was gathered for it")
    return lowering.calibration.peaks


def _write(
    traced: Traced, precision: Precision, name: str, lowering: Lowering, folder: Path
) -> None:
    outline, source = _planned(traced, precision, lowering)
    how = _how(traced, precision, lowering)
    if _as_codes(traced.stage, precision, lowering):
        outline = int8_cache(outline, traced.stage.states, _peaks(traced.stage, lowering)).model
    model = store(outline, source, folder, data_of(name), how)
    data = folder / data_of(name)
    if not traced.streams and data.stat().st_size < INLINE:
        model = inline(model, folder)
        data.unlink()
    (folder / name).write_bytes(model.SerializeToString())


def _planned(
    traced: Traced, precision: Precision, lowering: Lowering
) -> tuple[onnx.ModelProto, Callable[[str], Array]]:
    """Let what was gathered on data steer how weights are stored: float16's reach, AWQ's scales."""
    source, calibration = traced.source(), lowering.calibration
    if precision == "fp16" and traced.stage.role != "embedder":
        return _halved(traced, traced.outline, calibration)[0], source
    if not _rounds(traced, precision, lowering, "awq") or calibration is None:
        return traced.outline, source
    made = scaled(source, traced.outline, calibration.tensors, precision, lowering.weights)
    return traced.outline, made


def _how(traced: Traced, precision: Precision, lowering: Lowering) -> How:
    """Let second moments steer how weights are rounded."""
    if not _rounds(traced, precision, lowering, "gptq") or lowering.moments is None:
        return How(precision=precision, weights=lowering.weights)
    outline = traced.outline
    moments = lowering.moments(products(outline, precision, lowering.weights))
    return How(
        precision=precision,
        weights=lowering.weights,
        rounding=rounder(outline.graph, moments),
    )


def _rounds(traced: Traced, precision: Precision, lowering: Lowering, by: Rounder) -> bool:
    whole = traced.stage.role == "decoder" and precision in INTEGERS
    return whole and lowering.weights.rounding == by


def _halved(
    traced: Traced, model: onnx.ModelProto, calibration: PartCalibration | None
) -> tuple[onnx.ModelProto, Report]:
    """Make float16 of a graph, but for what its recorded ranges forbid, and what decides."""
    peaks = {} if calibration is None else calibration.peaks
    return halved(model, peaks, last(model) if traced.stage.role in DECIDING else {})


def graph_name(stage: Stage, precision: Precision) -> str:
    """Name the file of a stage's graph."""
    return f"{stage.name}.{precision}.onnx"


def data_of(name: str) -> str:
    """Name the file of a graph's weights."""
    return f"{name}.data"


def bound(stage: Stage, precision: Precision, lowering: Lowering) -> str:
    """Sum up what a kept graph is made of: of its stage, and of what was gathered on data."""
    if precision == "fp32":
        return made_of(stage)
    calibration = lowering.calibration
    provenance = None if calibration is None else calibration.provenance
    told = f"{made_of(stage)} {provenance} {lowering.how} {lowering.cache} {lowering.weights}"
    return hashlib.sha256(told.encode()).hexdigest()


def _array(tensor: Tensor) -> Array:
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return cast("Array", wide.detach().numpy())
