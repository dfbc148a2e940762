"""The arrays that a bundle carries: reference inputs, and what PyTorch gave for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.codes import coded
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import File, Graph, Part, Port, State
from edgespark.runtime.npz import arrays_from_npz
from edgespark.runtime.parts import fed, given
from edgespark.runtime.ports import takes, written

FLOATS = ("float32", "float16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One set of inputs of a graph, and what PyTorch gave for it in float32, by port name.

    `states` are the graph's: those with a step it gives as codes, which are yet to be decoded.
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    states: tuple[State, ...]


def probes(bundle: Bundle, part: Part, graph: Graph) -> tuple[Probe, ...]:
    """Return the part's reference as this graph takes it: one probe or more.

    Each input is rounded to its port's dtype, or to the codes of its state. BundleError where an
    array lacks, or does not fit.
    """
    loaded = arrays(bundle, part.reference)
    wide = replace(graph, states=tuple(map(_as_floats, graph.states)))
    sides = {"in": fed(part, wide), "out": given(part, wide)}
    count = max(1, len({name.partition(".")[0] for name in loaded}))
    problems = [
        problem
        for k in range(count)
        for side, ports in sides.items()
        for port in ports
        for problem in _misfit(f"{k}.{side}.{port.name}", port, loaded)
    ]
    if problems := problems or list(_uncoded(graph, count, loaded)):
        raise BundleError(part.reference.path, problems)
    return tuple(
        Probe(
            inputs=coded(
                {p.name: loaded[f"{k}.in.{p.name}"].astype(p.dtype) for p in sides["in"]},
                graph.states,
            ),
            outputs={p.name: loaded[f"{k}.out.{p.name}"] for p in sides["out"]},
            states=graph.states,
        )
        for k in range(count)
    )


def arrays(bundle: Bundle, file: File) -> dict[str, Array]:
    """Return the arrays of an .npz of the bundle, from the bytes that were hashed."""
    return arrays_from_npz(bundle.read(file), file.path)


def _as_floats(state: State) -> State:
    """Give a state of codes as the reference holds it."""
    if state.step is None:
        return state
    past, new = (replace(each, dtype="float32") for each in (state.past, state.new))
    return replace(state, past=past, new=new)


def _uncoded(graph: Graph, count: int, loaded: Mapping[str, Array]) -> Iterator[str]:
    names = (f"{k}.in.{s.past.name}" for k in range(count) for s in graph.states if s.step)
    for name in names:
        if not np.isfinite(loaded[name]).all():
            yield f"array {name!r} holds NaN or infinity, which no int8 code stands for"


def _misfit(name: str, port: Port, loaded: dict[str, Array]) -> Iterator[str]:
    if name not in loaded:
        yield f"has no array {name!r}"
        return
    array = loaded[name]
    dtype = "float32" if port.dtype in FLOATS else port.dtype
    if array.dtype != np.dtype(dtype) or not takes(port, array.shape):
        wanted = f"the port is {written(port)}, and floats are kept as float32"
        yield f"array {name!r} is {array.dtype} {list(array.shape)}; {wanted}"
