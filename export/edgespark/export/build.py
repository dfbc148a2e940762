"""From a stage to its graphs on disk, at every precision, each proved against PyTorch."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import onnx
from torch import Tensor

from edgespark.export.kept import Kept
from edgespark.export.layers import Stored, sweep
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.pack import Draft
from edgespark.export.placing import Lowering, Placed, Traced, place
from edgespark.export.precisions import FLOATS, LIMITS
from edgespark.export.shares import share
from edgespark.export.stage import Stage
from edgespark.export.trace import Arrays, compare
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.codes import MOST, coded
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Graph, Measurement, Precision
from edgespark.runtime.verify import median_ms

BACKEND = "onnxruntime cpu"
BACKENDS: dict[Precision, str] = {"fp16": f"{BACKEND}, float16 emulated"}
"""What ran a graph; float16 is emulated: each float16 tensor is rounded, and may overflow."""
SLACK = 1.5
"""How much further from PyTorch than here the integers of many layers may be on a device."""
PLAIN = Lowering()


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A stage's graphs, what PyTorch gave for its probes, and how far each graph is from that."""

    graphs: tuple[Graph, ...]
    reference: Arrays
    measured: tuple[Measurement, ...]


def build(
    traced: Traced,
    precisions: tuple[Precision, ...],
    draft: Draft,
    kept: Kept | None,
    lowering: Lowering = PLAIN,
) -> Built:
    """Write a stage's graphs into the draft and prove them.

    What is large is written to `kept` first, so that it outlives this process, and linked into the
    draft. Raises CheckError where a graph is further from PyTorch than its precision allows.
    """
    placed = [place(traced, precision, draft, kept, lowering) for precision in precisions]
    stage = _within(traced.stage, placed)
    if traced.streams and isinstance(stage.module, LlamaDecoder):
        return _swept(stage, placed, draft)
    return _whole(_materialised(stage), placed, draft)


def _within(stage: Stage, placed: Sequence[Placed]) -> Stage:
    """Cut the pasts of probes, which may be drawn, to what int8 states have room for."""
    ends = {s.past.name: MOST * s.step for p in placed for s in p.states if s.step is not None}
    probes = tuple(
        {name: x.clamp(-ends[name], ends[name]) if name in ends else x for name, x in probe.items()}
        for probe in stage.probes
    )
    return replace(stage, probes=probes)


def _materialised(stage: Stage) -> Stage:
    """Give the stage with all its weights in memory, float32."""
    if stage.weights is None:
        return stage
    module = copy.deepcopy(stage.module)  # which lies on the meta device: it goes with the stage
    weights = {name: stage.weights(name).float() for name in module.state_dict()}
    module.load_state_dict(weights, assign=True)
    return replace(stage, module=module, weights=None)


def _whole(stage: Stage, placed: list[Placed], draft: Draft) -> Built:
    graphs, measured, reference = [], [], {}
    for each in placed:
        session = backend("onnxruntime").open_session(_program(stage, each, draft))
        try:
            found = compare(stage, session, LIMITS[each.precision], each.states)
        finally:
            session.close()
        reference = found.reference
        graphs.append(_graph(each))
        measured.append(_measured(stage, each, found.error, _ms(stage, each, draft, reference)))
    return Built(graphs=tuple(graphs), reference=reference, measured=tuple(measured))


def _ms(stage: Stage, placed: Placed, draft: Draft, reference: Arrays) -> float:
    """Time a graph as it is run: float16, which is emulated to be judged, as float32."""
    session = backend("onnxruntime").open_session(
        replace(_program(stage, placed, draft), exact=False)
    )
    try:
        first = {p.name: reference[f"0.in.{p.name}"] for p in stage.fed}
        return median_ms(session, coded(first, placed.states))
    finally:
        session.close()


def _swept(stage: Stage, placed: list[Placed], draft: Draft) -> Built:
    folder = draft.root / "graphs"
    stored: dict[str, Stored] = {
        each.precision: Stored(
            model=onnx.load_from_string(each.content),
            folder=folder,
            data=tuple(Path(file.path).name for file in each.data),
            states=each.states,
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
        replace(_graph(each), limit=_limit(each.precision, found.whole[each.precision]))
        for each in placed
    )
    return Built(graphs=graphs, reference=found.reference, measured=tuple(measured))


def _limit(precision: Precision, whole: float) -> float:
    """Return how far a whole graph may be: of integers, whose errors add up, by what it was."""
    limit = LIMITS[precision]
    return limit if precision in FLOATS else max(limit, SLACK * whole)


def _program(stage: Stage, placed: Placed, draft: Draft) -> Program:
    own = replace(stage, states=placed.states)
    return Program(
        where=placed.file.path,
        graph=placed.content,
        inputs=own.fed,
        outputs=own.given,
        folder=draft.root / "graphs" if placed.data else None,
        data=tuple(Path(file.path).name for file in placed.data),
        exact=placed.precision == "fp16",
    )


def _graph(placed: Placed) -> Graph:
    return Graph(
        precision=placed.precision,
        file=placed.file,
        data=placed.data,
        states=placed.states,
        limit=LIMITS[placed.precision],
        weights=placed.weights,
    )


def _measured(stage: Stage, placed: Placed, error: float, ms: float) -> Measurement:
    return Measurement(
        part=stage.name,
        precision=placed.precision,
        error=error,
        ms=ms,
        backend=BACKENDS.get(placed.precision, BACKEND),
        share=share(stage, placed),
        kept={} if placed.report is None else placed.report.kept(),
    )
