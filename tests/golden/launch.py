"""Two ways to run a stage: as the PyTorch module, and as the ONNX graph exported from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgespark.export.stage import Stage
from edgespark.export.trace import trace
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.manifest import Axis, DType, Port
from tests.golden.case import Array, Arrays

Run: TypeAlias = Callable[[Mapping[str, Array]], Arrays]
Launch: TypeAlias = Callable[[Stage], Run]


def in_torch(stage: Stage) -> Run:
    """Run the module itself."""
    module = stage.module.eval()

    def run(feed: Mapping[str, Array]) -> Arrays:
        plain, past = (
            [torch.from_numpy(feed[port.name]) for port in ports]
            for ports in (stage.inputs, [state.past for state in stage.states])
        )
        with torch.no_grad():
            given = module(*plain, past) if stage.states else module(*plain)
        pairs = zip(stage.given, _flat(given), strict=True)
        return {port.name: each.numpy() for port, each in pairs}

    return run


def in_onnx(stage: Stage) -> Run:
    """Export the module, and run the graph on the runtime's backend."""
    program = Program(where=stage.name, graph=trace(stage), inputs=stage.fed, outputs=())
    return backend("onnxruntime").open_session(program).run


def _flat(given: Tensor | Sequence[Tensor]) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    return [each for part in given for each in _flat(part)]


def stage(
    module: nn.Module, feed: Mapping[str, Array], *outputs: str, fixed: tuple[str, ...] = ()
) -> Stage:
    """Make a stage of such inputs; their first axis is the batch, but of those in `fixed`."""
    probe = {
        name: torch.from_numpy(array if name in fixed else np.concatenate([array, array]))
        for name, array in feed.items()
    }
    return Stage(
        name=type(module).__name__,
        role="encoder",
        module=module,
        inputs=tuple(_port(name, array, name in fixed) for name, array in feed.items()),
        outputs=tuple(Port(name=name, dtype="float32", axes=()) for name in outputs),
        probes=(probe,),
    )


def _port(name: str, array: Array, static: bool) -> Port:  # noqa: FBT001
    sizes = [Axis(name=f"{name}{k}", low=size, high=size) for k, size in enumerate(array.shape)]
    batch = Axis(name="batch", low=1, high=max(64, 2 * len(array)))
    axes = sizes if static else [batch, *sizes[1:]]
    return Port(name=name, dtype=cast("DType", str(array.dtype)), axes=tuple(axes))
