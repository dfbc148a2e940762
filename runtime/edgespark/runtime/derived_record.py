"""The record of a derived graph, `derived.json`, and what keeps it from being one of a graph."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgespark.runtime._check_parts import twice
from edgespark.runtime.codes import LARGEST, LEAST, is_step
from edgespark.runtime.manifest import Axis, DType, File, Graph, Part, Port, Precision, State
from edgespark.runtime.ports import written

FORMAT = "edgespark-derived"
VERSION = 1
FILE = "derived.json"
NUMBERS = re.compile(r"\d{1,6}(\.\d{1,6}){1,2}")
STATES: tuple[DType, ...] = ("float32", "int8")

Need: TypeAlias = tuple[DType, int]  # a dtype, and a number of axes
INPUTS: Mapping[str, Need] = {
    "inputs_embeds": ("float32", 3),
    "select": ("int64", 1),
    "seqlens_k": ("int32", 1),
    "total_sequence_length": ("int32", 0),
}
OUTPUTS: Mapping[str, Need] = {"hidden": ("float32", 3), "logits": ("float32", 3)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """What one derived graph is made of, and what it takes and gives.

    `lowering` names the target and the revision of its passes, as in "cpu-2". `source` are the
    SHA-256 of the portable graph and of its data files; `onnxruntime` is the oldest version that
    runs what came out. A decoder has INPUTS: embeddings [1, sequence, width] and the rows of them
    whose outputs are wanted, as in its part; and how many positions there are after this run, once
    less one, [1], and once as it is, []. Its positions are 0, 1, …. Its `states` are kept in place:
    `past` and `new` are one memory, [1, heads, context, head_dim], in which the graph writes the
    rows of this step itself. Where they are int8, a value is its code times `step`. All files lie
    in the record's own folder.
    """

    format: str = FORMAT
    version: int = VERSION
    lowering: str
    part: str
    precision: Precision
    source: tuple[str, ...]
    onnxruntime: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...] = ()
    file: File
    data: tuple[File, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no version, and files that lie elsewhere or are named twice."""
        if not NUMBERS.fullmatch(self.onnxruntime):
            raise ValueError(f"onnxruntime {self.onnxruntime!r} is no version such as '1.31.0'")
        names = [file.path for file in (self.file, *self.data)]
        if any("/" in name for name in names) or FILE in names or len(set(names)) < len(names):
            raise ValueError(f"files {names} are not different files beside {FILE}")


def sources(graph: Graph) -> tuple[str, ...]:
    """Return the SHA-256 of the graph and of its data files."""
    return tuple(file.sha256 for file in (graph.file, *graph.data))


def problems(made: Derived, part: Part, graph: Graph, context: int) -> Iterator[str]:
    """Give what keeps the record from being of this graph, in a bundle of that context."""
    for what, has, wanted in (
        ("part", made.part, part.name),
        ("precision", made.precision, graph.precision),
        ("source", made.source, sources(graph)),
    ):
        if has != wanted:
            yield f"its {what} is {has!r}, expected {wanted!r}"
    if part.role == "decoder":
        yield from _decoder(made, part, graph, context)
    elif (made.inputs, made.outputs, made.states) != (part.inputs, part.outputs, ()):
        yield f"it has other ports than part {part.name!r}"


def _decoder(made: Derived, part: Part, graph: Graph, context: int) -> Iterator[str]:
    yield from _ports("inputs", made.inputs, INPUTS, part.inputs)
    yield from _ports("outputs", made.outputs, OUTPUTS, part.outputs)
    names = [(each.past.name, each.new.name) for each in made.states]
    wanted = [(each.past.name, each.new.name) for each in graph.states]
    if names != wanted:
        yield f"its states are not the {len(wanted)} of the portable graph, in their order"
        return
    for state, portable in zip(made.states, graph.states, strict=True):
        yield from _state(state, portable, context)


def _ports(
    side: str, ports: tuple[Port, ...], needs: Mapping[str, Need], portable: tuple[Port, ...]
) -> Iterator[str]:
    yield from twice(side, (port.name for port in ports))
    has = {port.name: port for port in ports}
    if has.keys() != needs.keys():
        yield f"its {side} are {', '.join(has) or 'none'}; expected {', '.join(needs)}"
        return
    for port in portable:
        if port.name in has and not _covers(has[port.name].axes[1:], port.axes[1:]):
            yield f"{side}: {port.name!r} is {written(has[port.name])}, not {written(port)}"
    for name, (dtype, rank) in needs.items():
        axes = has[name].axes
        batch = axes[:1] if rank > 1 or name == "seqlens_k" else ()
        one = all(axis.low <= 1 <= axis.high for axis in batch)
        if has[name].dtype != dtype or len(axes) != rank or not one:
            wanted = f"{dtype} with {rank} axes, for a batch of 1"
            yield f"{side}: {name!r} is {written(has[name])}; expected {wanted}"


def _covers(has: tuple[Axis, ...], wanted: tuple[Axis, ...]) -> bool:
    """Tell whether all sizes that are wanted may be had; static ones are the same."""
    return len(has) == len(wanted) and all(
        each.low <= other.low and other.high <= each.high and each.static == other.static
        for each, other in zip(has, wanted, strict=True)
    )


def _state(state: State, portable: State, context: int) -> Iterator[str]:
    past, new, name = state.past, state.new, state.past.name
    sizes = [(axis.low, axis.high) for axis in past.axes]
    heads, width = (axis.high for axis in portable.past.axes[2:])
    wanted = [1, heads, context, width]
    fits = len(sizes) == len(wanted) and all(
        low <= size == high for (low, high), size in zip(sizes, wanted, strict=True)
    )
    if not fits or past.dtype not in STATES:
        yield f"state {name!r} is {written(past)}; expected float32 or int8 {wanted}"
    if (new.axes, new.dtype) != (past.axes, past.dtype):
        yield f"state {name!r}: past and new are one memory, but new is {written(new)}"
    if (past.dtype == "int8") != (state.step is not None):
        yield f"state {name!r}: int8 has a step and float32 has none"
    elif state.step is not None and not is_step(state.step):
        yield f"state {name!r}: its step must be from {LEAST:g} to {LARGEST:g}"
