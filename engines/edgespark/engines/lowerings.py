"""Which form a target wants of a part's graph, and what writes it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from edgespark.engines.cpu_decoder import LoweredFile, lower_decoder
from edgespark.engines.cpu_parts import KEPT, LOWERINGS, lower_part
from edgespark.engines.targets import Target
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Graph, Part

__all__ = ["Job", "Lower", "lowering_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A part's graph of a bundle."""

    bundle: Bundle
    part: Part
    graph: Graph

    @property
    def title(self) -> str:
        """What the graph is called in a line: its part and precision."""
        return f"{self.part.name} {self.graph.precision}"

    @property
    def path(self) -> Path:
        """Where the graph lies."""
        return self.bundle.root / self.graph.file.path

    @property
    def bytes(self) -> int:
        """Count the bytes of the graph and its weights."""
        return sum(file.bytes for file in (self.graph.file, *self.graph.data))


Lower: TypeAlias = Callable[[Job, Path], LoweredFile | str]
"""Writes a lowered graph into a new file, or says why the portable one stays; raises as its own."""


def lowering_of(target: Target, job: Job) -> Lower | str:
    """Return what lowers the graph for the target, or why it keeps its portable form."""
    role, precision = job.part.role, job.graph.precision
    if precision in target.widened:
        return f"the target computes {precision} in float32, and verify emulates the portable form"
    if role == "decoder":
        return _in_place if target.attention == "in place" else "the target appends states"
    if (role, precision) in KEPT:
        return KEPT[role, precision]
    if target.operators != "contributed" or (role, precision) not in LOWERINGS:
        return "the target has no other form for it"
    return _with_operators


def _in_place(job: Job, into: Path) -> LoweredFile:
    return lower_decoder(
        job.path,
        job.graph.states,
        job.part.inputs,
        job.part.outputs,
        job.bundle.manifest.language.context,
        into,
    )


def _with_operators(job: Job, into: Path) -> LoweredFile | str:
    made = lower_part(job.path, job.part.role, job.graph.precision, into)
    if made is None:
        return "nothing in it is of a form that the lowering takes"
    return replace(made, inputs=job.part.inputs, outputs=job.part.outputs)
