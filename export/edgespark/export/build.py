"""From a stage to its graphs on disk, at every precision, each proved against PyTorch."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgespark.engines.streamed import store
from edgespark.export.kept import Kept
from edgespark.export.layers import Stored, sweep, watched
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.outline import outline
from edgespark.export.pack import Draft
from edgespark.export.precisions import FLOATS, LIMITS
from edgespark.export.stage import Stage
from edgespark.export.trace import Arrays, compare, graph_of
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import File, Graph, Measurement, Precision
from edgespark.runtime.verify import median_ms

BACKEND = "onnxruntime cpu"
BACKENDS: dict[Precision, str] = {"fp16": f"{BACKEND}, computed in float32"}
"""What ran a graph; of float16 it shows the weights and the wiring, no rounding and no overflow."""
SLACK = 1.5
"""How much further from PyTorch than here the integers of many layers may be on a device."""
Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A stage's graphs, what PyTorch gave for its probes, and how far each graph is from that."""

    graphs: tuple[Graph, ...]
    reference: Arrays
    measured: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """A graph in the draft, with the files of its weights."""

    precision: Precision
    content: bytes
    file: File
    data: tuple[File, ...]


def build(
    stage: Stage, precisions: tuple[Precision, ...], draft: Draft, kept: Kept | None
) -> Built:
    """Write a stage's graphs into the draft and prove them.

    What is large is written to `kept` first, so that it outlives this process, and linked into the
    draft. Raises CheckError where a graph is further from PyTorch than its precision allows.
    """
    traced = _Traced(stage)
    placed = [_placed(stage, traced, precision, draft, kept) for precision in precisions]
    if stage.weights is not None and isinstance(stage.module, LlamaDecoder):
        return _swept(stage, placed, draft)
    return _whole(_materialised(stage), placed, draft)


class _Traced:
    """The stage's graph without its weights, traced when it is first needed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._model: onnx.ModelProto | None = None

    def model(self) -> onnx.ModelProto:
        """Return the graph, which must not be changed."""
        if self._model is None:
            module = self._stage.module
            names = watched(module) if isinstance(module, LlamaDecoder) else {}
            self._model = outline(self._stage, names)
        return self._model


def _placed(
    stage: Stage, traced: _Traced, precision: Precision, draft: Draft, kept: Kept | None
) -> _Placed:
    name = graph_name(stage, precision)
    if stage.weights is None and precision == "fp32":
        content = graph_of(stage)
        file = draft.add(f"graphs/{name}", content)
        return _Placed(precision=precision, content=content, file=file, data=())
    make = partial(_write, stage, traced, precision, name)
    if kept is None:
        make(draft.path(f"graphs/{name}").parent)
    else:
        for path in kept.files((name, data_of(name)), made_of(stage), make):
            draft.link(path, f"graphs/{path.name}")
    return _Placed(
        precision=precision,
        content=draft.path(f"graphs/{name}").read_bytes(),
        file=draft.record(f"graphs/{name}"),
        data=(draft.record(f"graphs/{data_of(name)}"),),
    )


def graph_name(stage: Stage, precision: Precision) -> str:
    """Name the file of a stage's graph."""
    return f"{stage.name}.{precision}.onnx"


def made_of(stage: Stage) -> str:
    """Sum up in a digest what a stage's graphs are made of, but for the values of its weights."""
    told = hashlib.sha256(repr((stage.module, stage.inputs, stage.outputs, stage.states)).encode())
    for name, buffer in stage.module.named_buffers():
        told.update(f"{name} {buffer.shape} {buffer.dtype}".encode())
        if not buffer.is_meta:
            told.update(buffer.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.hexdigest()


def data_of(name: str) -> str:
    """Name the file of a graph's weights."""
    return f"{name}.data"


def _write(stage: Stage, traced: _Traced, precision: Precision, name: str, folder: Path) -> None:
    model = store(traced.model(), _source(stage), folder, data_of(name), precision)
    (folder / name).write_bytes(model.SerializeToString())


def _source(stage: Stage) -> Callable[[str], Array]:
    own = stage.module.state_dict()
    read = stage.weights or own.__getitem__
    return lambda name: _array(read(name))


def _array(tensor: Tensor) -> Array:
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return cast("Array", wide.detach().numpy())


def _materialised(stage: Stage) -> Stage:
    """Give the stage with all its weights in memory, float32."""
    if stage.weights is None:
        return stage
    module = copy.deepcopy(stage.module)  # which lies on the meta device: it goes with the stage
    weights = {name: stage.weights(name).float() for name in module.state_dict()}
    module.load_state_dict(weights, assign=True)
    return replace(stage, module=module, weights=None)


def _whole(stage: Stage, placed: list[_Placed], draft: Draft) -> Built:
    graphs, measured, reference = [], [], {}
    for each in placed:
        session = backend("onnxruntime").open_session(_program(stage, each, draft))
        try:
            found = compare(stage, session, LIMITS[each.precision])
            reference = found.reference
            fed = {port.name: reference[f"0.in.{port.name}"] for port in stage.fed}
            took = median_ms(session, fed)
        finally:
            session.close()
        graphs.append(_graph(stage, each))
        measured.append(_measured(stage, each, found.error, took))
    return Built(graphs=tuple(graphs), reference=reference, measured=tuple(measured))


def _swept(stage: Stage, placed: list[_Placed], draft: Draft) -> Built:
    folder = draft.root / "graphs"
    stored: dict[str, Stored] = {
        each.precision: Stored(
            model=onnx.load_from_string(each.content),
            folder=folder,
            data=tuple(Path(file.path).name for file in each.data),
        )
        for each in placed
    }
    found = sweep(stage, cast("Callable[[str], Tensor]", stage.weights), stored)
    measured = []
    for each in placed:
        errors = found.errors[each.precision]
        worst = max(errors)
        if not worst <= LIMITS[each.precision]:
            raise CheckError(
                f"{stage.name}: layer {errors.index(worst)} of the {each.precision} graph differs "
                f"from PyTorch's by {worst:.2e} standard deviations; at most "
                f"{LIMITS[each.precision]:.2g} is allowed"
            )
        whole = found.whole[each.precision]
        if each.precision in FLOATS and not whole <= LIMITS[each.precision]:
            raise CheckError(
                f"{stage.name}: the {each.precision} graph as a whole differs from PyTorch's by "
                f"{whole:.2e} standard deviations; at most {LIMITS[each.precision]:.2g} is allowed"
            )
        made = _measured(stage, each, whole, found.ms[each.precision])
        measured.append(
            replace(made, backend=f"{made.backend}, layer by layer", layers=tuple(errors))
        )
    graphs = tuple(
        replace(_graph(stage, each), limit=_limit(each.precision, found.whole[each.precision]))
        for each in placed
    )
    return Built(graphs=graphs, reference=found.reference, measured=tuple(measured))


def _limit(precision: Precision, whole: float) -> float:
    """Return how far a whole graph may be: of integers, whose errors add up, by what it was."""
    limit = LIMITS[precision]
    return limit if precision in FLOATS else max(limit, SLACK * whole)


def _program(stage: Stage, placed: _Placed, draft: Draft) -> Program:
    return Program(
        where=placed.file.path,
        graph=placed.content,
        inputs=stage.fed,
        outputs=stage.given,
        folder=draft.root / "graphs" if placed.data else None,
        data=tuple(Path(file.path).name for file in placed.data),
    )


def _graph(stage: Stage, placed: _Placed) -> Graph:
    return Graph(
        precision=placed.precision,
        file=placed.file,
        data=placed.data,
        states=stage.states,
        limit=LIMITS[placed.precision],
    )


def _measured(stage: Stage, placed: _Placed, error: float, ms: float) -> Measurement:
    return Measurement(
        part=stage.name,
        precision=placed.precision,
        error=error,
        ms=ms,
        backend=BACKENDS.get(placed.precision, BACKEND),
    )
