"""A small decoder in every form that is shipped, and how its lowered graph is run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edgespark.engines.cpu_decoder import Lowered, cpu_decoder
from edgespark.engines.passes.int8_cache import int8_cache
from edgespark.engines.sourced import Sourced, sourced, written
from edgespark.engines.streamed import store
from edgespark.export.layers import watched
from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.outline import outline
from edgespark.export.recipes.decoders import decoder_ports, states, streamed
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.manifest import Axis, DType, Port, Precision, State
from tests.engines.typed import Array

ADAPTED = Llama(
    vocabulary=101,
    width=96,
    depth=3,
    heads=3,
    hidden=160,
    context=48,
    adapters=(0, 2),
    bottleneck=20,
)
"""Blocks of 128 divide none of its matrices, blocks of 32 nearly all."""
PLAIN = replace(ADAPTED, adapters=(), depth=2, heads=6)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int4")
KINDS: tuple[DType, ...] = ("float32", "int8")  # of states
PEAK = 3.0  # of keys and values: few go beyond


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A portable graph, its weights in it, and its states."""

    size: Llama
    model: onnx.ModelProto
    states: tuple[State, ...]

    def lowered(self) -> Lowered:
        return cpu_decoder(
            sourced(self.model), self.states, *decoder_ports(self.size), self.size.context
        )


Forms = dict[tuple[Precision, DType], Form]
"""By the precision of weights, and the dtype of states."""


def forms(size: Llama, folder: Path) -> Forms:
    """Trace a decoder of drawn weights once, and store it in each precision and kind of states."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = LlamaDecoder(size).eval()
    for name, each in module.named_parameters():  # gains and biases of no norm are trivial
        if each.ndim == 1:
            each.data += torch.linspace(-0.3, 0.3, each.numel()).roll(len(name))
    drawn = module.state_dict()
    traced = outline(streamed(module, drawn.__getitem__)[1], watched(module))
    made: Forms = {}
    peaks = {each.new.name: PEAK for each in states(size)}
    codes = int8_cache(traced, tuple(states(size)), peaks)
    for precision in PRECISIONS:
        for kind in KINDS:
            graph = codes.model if kind == "int8" else traced
            name = f"{precision}.{kind}"
            model = store(graph, lambda key: drawn[key].numpy(), folder, name, precision)
            onnx.load_external_data_for_model(model, str(folder))
            carried = codes.states if kind == "int8" else tuple(states(size))
            made[precision, kind] = Form(size=size, model=model, states=carried)
    return made


def inlined(given: Sourced, into: Path) -> onnx.ModelProto:
    """Write a graph and read it again, with its weights."""
    written(given, into)
    return onnx.load(into)


class InPlace:
    """Runs a lowered decoder on one sequence, its states in memory that stays."""

    def __init__(self, made: Lowered, model: onnx.ModelProto, watched: Sequence[Port] = ()) -> None:
        self._watched = tuple(watched)
        outputs = (*made.outputs, *(each.new for each in made.states), *self._watched)
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        shown.graph.output.extend(onnx.ValueInfoProto(name=each.name) for each in watched)
        self._made = made
        self._session = opened(shown, (*made.inputs, *(each.past for each in made.states)), outputs)
        self.memory = {
            each.past.name: np.zeros([axis.low for axis in each.past.axes], each.past.dtype)
            for each in made.states
        }
        self.total = 0

    def feed(self, rows: NDArray[np.float32], select: Sequence[int]) -> dict[str, Array]:
        """Append rows [sequence, width]; give the outputs, and what is watched."""
        self.total += len(rows)
        held = {each.new.name: self.memory[each.past.name] for each in self._made.states}
        inputs: dict[str, Array] = {
            "inputs_embeds": rows[None],
            "select": np.array(select, np.int64),
            "seqlens_k": np.array([self.total - 1], np.int32),
            "total_sequence_length": np.array(self.total, np.int32),
            **self.memory,
        }
        sizes = [port.axes[-1].low for port in self._made.outputs]
        outputs: dict[str, Array] = {
            port.name: np.zeros((1, len(select), size), np.float32)
            for port, size in zip(self._made.outputs, sizes, strict=True)
        }
        for port in self._watched:
            outputs[port.name] = np.zeros((1, len(rows), port.axes[-1].low), np.float32)
        return self._session.run(inputs, outputs | held)


class Appended:
    """Runs a portable decoder on one sequence, as the runtime does."""

    def __init__(self, form: Form, watched: Sequence[Port] = (), *, exact: bool = False) -> None:
        inputs, outputs = decoder_ports(form.size)
        shown = onnx.ModelProto()
        shown.CopyFrom(form.model)
        shown.graph.output.extend(onnx.ValueInfoProto(name=each.name) for each in watched)
        pasts, news = ([getattr(each, end) for each in form.states] for end in ("past", "new"))
        self._session = opened(shown, (*inputs, *pasts), (*outputs, *news, *watched), exact=exact)
        self._form = form
        self.past: dict[str, Array] = {
            each.past.name: np.zeros(
                (0, 1, *(axis.low for axis in each.past.axes[2:])), each.past.dtype
            )
            for each in form.states
        }

    def feed(self, rows: NDArray[np.float32], select: Sequence[int]) -> dict[str, Array]:
        """Append rows [sequence, width]; give the outputs, and what is watched."""
        before = len(next(iter(self.past.values())))
        inputs: Mapping[str, Array] = {
            "inputs_embeds": rows[None],
            "position_ids": np.arange(before, before + len(rows))[None],
            "select": np.array(select, np.int64),
            **self.past,
        }
        made = self._session.run(inputs)
        for each in self._form.states:
            whole = np.concatenate([self.past[each.past.name], made[each.new.name]])
            self.past[each.past.name] = whole
        return made


def stream(size: Llama, layer: int) -> Port:
    """Return the port of what a layer gives."""
    axes = (Axis(name="batch", low=1, high=1), Axis(name="sequence", low=1, high=4096))
    width = Axis(name="width", low=size.width, high=size.width)
    return Port(name=f"after.{layer}", dtype="float32", axes=(*axes, width))


def opened(
    model: onnx.ModelProto,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    *,
    exact: bool = False,
) -> Session:
    """Open a session for a graph that has its weights in it."""
    return backend("onnxruntime").open_session(
        Program(
            where="decoder",
            graph=model.SerializeToString(),
            inputs=inputs,
            outputs=outputs,
            threads=1,
            exact=exact,
        )
    )
