"""Trace a stage into an ONNX graph, and prove on its probes that both compute the same."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # no types ship
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim
from torch.onnx import OnnxExporterError, ONNXProgram

from edgespark.engines.graphs import check, clean
from edgespark.engines.ports import declare
from edgespark.export.stage import Stage
from edgespark.runtime.backends import Session
from edgespark.runtime.codes import coded, decoded
from edgespark.runtime.errors import CheckError, InputError
from edgespark.runtime.manifest import Port, State
from edgespark.runtime.verify import distance

OPSET = 18  # what the exporter emits natively; TensorRT 10.3 reads up to 20
LIMIT = 1e-4  # greatest |graph - module|, in standard deviations of the module's output
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How far a graph is from its module: `error` in standard deviations, over all probes.

    `reference` holds each probe K and what the module gave: `K.in.PORT` and `K.out.PORT`.
    """

    error: float
    reference: Arrays


class Flat(nn.Module):
    """Calls a stage's module with the states as one list, and gives one flat tuple."""

    def __init__(self, stage: Stage) -> None:
        """Take the stage's module, and how many inputs it has before its states."""
        super().__init__()
        self.module, self._stateful, self._count = (
            stage.module,
            bool(stage.states),
            len(stage.inputs),
        )

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Give the outputs, then the new states, of the inputs, then the past ones."""
        plain, past = tensors[: self._count], list(tensors[self._count :])
        if not self._stateful:
            return (self.module(*plain),)
        *outputs, new = self.module(*plain, past)
        return (*outputs, *new)


def graph_of(stage: Stage) -> bytes:
    """Trace the stage, or take the graph that it brings, its axes declared as in its ports.

    Raises CheckError where the result is not plain, valid ONNX at opset 18, or has other ports;
    InputError where PyTorch cannot trace the module, or what the stage brings is no graph.
    """
    return trace(stage) if stage.graph is None else _brought(stage, stage.graph)


def _brought(stage: Stage, content: bytes) -> bytes:
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise InputError(f"{stage.name}: brings no ONNX graph: {error}") from error
    try:
        return _finished(declare(clean(model), stage.fed, stage.given), stage.name)
    except CheckError as error:
        raise CheckError(f"{stage.name}: {error}") from error


def _finished(model: onnx.ModelProto, name: str) -> bytes:
    model.graph.name = name
    return bytes(check(model, OPSET).SerializeToString())


def trace(stage: Stage) -> bytes:
    """Trace the stage into ONNX at opset 18, its dynamic axes named as in its ports.

    Raises CheckError where the result is not plain, valid ONNX; InputError where PyTorch cannot
    trace the module.
    """
    names = [port.name for port in stage.given]
    program = program_of(stage, Flat(stage), names, optimize=True)
    return _finished(clean(program.model_proto), stage.name)


def program_of(
    stage: Stage, module: nn.Module, outputs: list[str], *, optimize: bool
) -> ONNXProgram:
    """Trace what takes a stage's ports, and gives tensors to be called `outputs`.

    `optimize` folds constants, and reads the weights. Raises InputError where PyTorch cannot.
    """
    dims = {
        axis.name: Dim(axis.name, min=axis.low, max=axis.high)
        for port in stage.fed
        for axis in port.axes
        if not axis.static
    }
    with _quiet(), torch.no_grad(), _told(stage.name):
        program = torch.onnx.export(
            module.eval(),
            tuple(stage.probes[0][port.name] for port in stage.fed),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(tuple(_dynamic(port, dims) for port in stage.fed),),
            input_names=[port.name for port in stage.fed],
            output_names=outputs,
            optimize=optimize,
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"{stage.name}: torch.onnx.export gave no program")
    return program


def _dynamic(port: Port, dims: Mapping[str, Dim]) -> dict[int, Dim]:
    return {place: dims[axis.name] for place, axis in enumerate(port.axes) if not axis.static}


def reference(stage: Stage, probe: Mapping[str, Tensor]) -> Arrays:
    """Run the module on one probe: its outputs and new states by port name."""
    with torch.no_grad():
        outputs = Flat(stage).eval()(*(probe[port.name] for port in stage.fed))
    return {port.name: each.numpy() for port, each in zip(stage.given, outputs, strict=True)}


def compare(
    stage: Stage, session: Session, limit: float = LIMIT, states: Sequence[State] = ()
) -> Parity:
    """Run the graph on every probe beside the module.

    `states` are the graph's, where they are others than the stage's: those with a step are codes.
    Raises CheckError where any output differs by more than `limit` standard deviations.
    """
    worst = 0.0
    kept: Arrays = {}
    for k, probe in enumerate(stage.probes):
        fed = {name: tensor.numpy() for name, tensor in probe.items()}
        wanted = reference(stage, probe)
        got = decoded(session.run(coded(fed, states)), states)
        errors = {name: distance(got[name], wanted[name]) for name in wanted}
        name = max(errors, key=lambda each: errors[each])
        if not errors[name] <= limit:
            raise CheckError(
                f"{stage.name}: output {name!r} of the graph differs from PyTorch's by "
                f"{errors[name]:.2e} standard deviations; at most {limit:.0e} is allowed"
            )
        worst = max(worst, errors[name])
        for side, arrays in (("in", fed), ("out", wanted)):
            kept |= {f"{k}.{side}.{name}": array for name, array in arrays.items()}
    return Parity(error=worst, reference=kept)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn the tracer's failure, whose report is pages long, into its cause."""
    try:
        yield
    except OnnxExporterError as error:
        cause = next(filter(None, str(error.__cause__ or error).splitlines()), "no reason told")
        raise InputError(f"{name}: PyTorch cannot trace the module: {cause}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the tracer says of itself: torchvision, its old names, axes of one name."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message="# The axis name.*", category=UserWarning)
            yield
    finally:
        logger.setLevel(before)
