"""The arrays that a bundle carries: reference inputs, and what PyTorch gave for them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import File, Graph, Part, Port
from edgespark.runtime.npz import arrays_from_npz
from edgespark.runtime.parts import fed, given
from edgespark.runtime.ports import takes, written

FLOATS = ("float32", "float16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One set of inputs of a graph, and what PyTorch gave for it in float32, by port name."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def probes(bundle: Bundle, part: Part, graph: Graph) -> tuple[Probe, ...]:
    """Return the part's reference as this graph takes it: one probe or more.

    Each input is rounded to its port's dtype. BundleError where an array lacks, or does not fit.
    """
    loaded = arrays(bundle, part.reference)
    sides = {"in": fed(part, graph), "out": given(part, graph)}
    count = max(1, len({name.partition(".")[0] for name in loaded}))
    problems = [
        problem
        for k in range(count)
        for side, ports in sides.items()
        for port in ports
        for problem in _misfit(f"{k}.{side}.{port.name}", port, loaded)
    ]
    if problems:
        raise BundleError(part.reference.path, problems)
    return tuple(
        Probe(
            inputs={p.name: loaded[f"{k}.in.{p.name}"].astype(p.dtype) for p in sides["in"]},
            outputs={p.name: loaded[f"{k}.out.{p.name}"] for p in sides["out"]},
        )
        for k in range(count)
    )


def arrays(bundle: Bundle, file: File) -> dict[str, Array]:
    """Return the arrays of an .npz of the bundle, from the bytes that were hashed."""
    return arrays_from_npz(bundle.read(file), file.path)


def _misfit(name: str, port: Port, loaded: dict[str, Array]) -> Iterator[str]:
    if name not in loaded:
        yield f"has no array {name!r}"
        return
    array = loaded[name]
    dtype = "float32" if port.dtype in FLOATS else port.dtype
    if array.dtype != np.dtype(dtype) or not takes(port, array.shape):
        wanted = f"the port is {written(port)}, and floats are kept as float32"
        yield f"array {name!r} is {array.dtype} {list(array.shape)}; {wanted}"
