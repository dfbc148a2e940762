"""Trace a stage without its weights: the graph of a module that may lie on torch's meta device."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.onnx import ONNXProgram

from edgespark.engines.absent import absent, is_absent, proven
from edgespark.engines.graphs import clean
from edgespark.engines.ports import rename
from edgespark.engines.straighten import readers, straighten
from edgespark.export.stage import Stage
from edgespark.export.trace import OPSET, Flat, program_of
from edgespark.runtime.errors import CheckError, InputError

NOTHING: Mapping[str, str] = MappingProxyType({})
PREFIX = "module."  # of a stage's module in `Flat`


class _Watched(Flat):
    """Gives the first output of some submodules too, behind all others."""

    def __init__(self, stage: Stage, watched: tuple[str, ...]) -> None:
        super().__init__(stage)
        self._watched = watched

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        caught: dict[str, Tensor] = {}
        handles = [_catch(self.module, name, caught) for name in self._watched]
        try:
            outputs = super().forward(*tensors)
        finally:
            for handle in handles:
                handle.remove()
        _judge(self._watched, caught, outputs)
        return (*outputs, *(caught[name] for name in self._watched))


def outline(stage: Stage, watched: Mapping[str, str] = NOTHING) -> onnx.ModelProto:
    """Trace the stage into ONNX at opset 18, as `trace` does, without any value of its parameters.

    Each parameter is an absent initializer (`edgespark.engines.absent`) of the module's name for
    it; weights of linear layers are [in, out] in the graph. Buffers and constants keep their data,
    and must have it. `watched` names, for submodules such as `model.layers.3`, the tensor that is
    to hold their first output; the graph has it inside, not among its outputs.

    Raises CheckError where the result is not plain, valid ONNX; InputError where PyTorch cannot
    trace the module, where a parameter is not float32, a buffer has no data, or a watched submodule
    does not exist, is not called just once, or gives what already has a name.
    """
    _check(stage, watched)
    with _weightless(stage.module):
        names = [*(port.name for port in stage.given), *watched.values()]
        program = program_of(stage, _Watched(stage, tuple(watched)), names, optimize=False)
        weights = _forget(program)
        with _hushed():
            program.optimize()
            model = program.model_proto
    model.graph.initializer.extend(weights)
    for each in list(model.graph.output)[len(stage.given) :]:
        model.graph.output.remove(each)
    straighten(clean(_named(model)))
    _check_names(stage, model, watched)
    model.graph.name = stage.name
    return proven(model, OPSET)


def _check(stage: Stage, watched: Mapping[str, str]) -> None:
    module = stage.module
    known = {name for name, _ in module.named_modules()}
    problems = [f"no submodule {name!r} to watch" for name in watched if name not in known]
    problems += [
        f"buffer {name!r} has no data: it lies on the meta device"
        for name, buffer in module.named_buffers()
        if buffer.is_meta
    ]
    problems += [
        f"parameter {name!r} is {parameter.dtype}; expected torch.float32"
        for name, parameter in module.named_parameters()
        if parameter.dtype != torch.float32
    ]
    if problems:
        raise InputError(f"{stage.name}: " + "; ".join(problems))


def _catch(
    module: nn.Module, name: str, caught: dict[str, Tensor]
) -> torch.utils.hooks.RemovableHandle:
    def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        if name in caught:
            raise InputError(f"{name}: watched, but the stage calls it more than once")
        caught[name] = output if isinstance(output, Tensor) else output[0]

    return module.get_submodule(name).register_forward_hook(keep)


def _judge(
    watched: tuple[str, ...], caught: Mapping[str, Tensor], outputs: tuple[Tensor, ...]
) -> None:
    """Refuse what is not called, and what would give one tensor two names."""
    known = {id(each) for each in outputs}
    for name in watched:
        if name not in caught:
            raise InputError(f"{name}: watched, but the stage never calls it")
        if id(caught[name]) in known:
            raise InputError(f"{name}: watched, but the stage gives what it gives, or another does")
        known.add(id(caught[name]))


@contextmanager
def _weightless(module: nn.Module) -> Iterator[None]:
    """Let every parameter be a fake one on the CPU, of the same shape, within the block."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    places = [
        (each._parameters, key, parameter)  # noqa: SLF001 a property would check what is set
        for each in module.modules()
        for key, parameter in each._parameters.items()  # noqa: SLF001
        if parameter is not None
    ]
    with mode:
        fakes = {
            id(real): nn.Parameter(torch.empty(real.shape, device="cpu"), requires_grad=False)
            for _, _, real in places
        }
    try:
        for holder, key, real in places:
            holder[key] = fakes[id(real)]
        yield
    finally:
        for holder, key, real in places:
            holder[key] = real


def _forget(program: ONNXProgram) -> list[TensorProto]:
    """Let the parameters be no constants, so that the optimiser leaves them; list them, absent."""
    found = []
    for name, value in program.model.graph.initializers.items():
        tensor = getattr(value.const_value, "raw", None)
        if isinstance(tensor, FakeTensor):
            found.append(absent(name, TensorProto.FLOAT, tensor.shape))
            value.const_value = None
    return found


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Call the parameters as their module does, and drop those that nothing reads."""
    reads = readers(model.graph)
    for each in [each for each in model.graph.initializer if each.name not in reads]:
        model.graph.initializer.remove(each)
    weights = [each.name for each in model.graph.initializer if is_absent(each)]
    return rename(model, {name: name.removeprefix(PREFIX) for name in weights})


def _check_names(stage: Stage, model: onnx.ModelProto, watched: Mapping[str, str]) -> None:
    made = {name for node in model.graph.node for name in node.output}
    wanted, given = [each.name for each in stage.given], [each.name for each in model.graph.output]
    if wanted != given or set(watched.values()) - made:
        raise CheckError(
            f"{stage.name}: the graph gives {', '.join(given)}; expected {', '.join(wanted)}, and "
            f"{', '.join(watched.values()) or 'nothing'} within"
        )


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence what is said of each weight that has no data."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
