"""The error of each layer of a graph, measured now against the part's fp32 graph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgespark.runtime.backends import Array, Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import Device
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import Graph, Part, Precision
from edgespark.runtime.parts import program
from edgespark.runtime.reference import Probe, probes
from edgespark.runtime.verify import distance, opened
from edgespark.runtime.watched import tensors, watched


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """How far each layer of one graph is from the same layer of the part's fp32 graph.

    `errors` are by the tensor that the layer gives, in the order of the bundle's evidence: the
    greatest |tensor - fp32's| in standard deviations of fp32's, the worst of all probes (infinite
    where a value is not finite). Both graphs run whole, so that errors of earlier layers are in it.
    `unknown` are layers of the evidence that are no float tensor of both graphs.
    """

    name: str
    precision: Precision
    errors: dict[str, float]
    unknown: tuple[str, ...] = ()

    @property
    def worst(self) -> str | None:
        """The layer with the greatest error; None where none was measured."""
        return max(self.errors, key=lambda layer: self.errors[layer], default=None)


def claimed(bundle: Bundle) -> list[tuple[Part, Graph, tuple[str, ...]]]:
    """Return each graph whose evidence names what its layers add, with its part and their names."""
    names: dict[tuple[str, Precision], tuple[str, ...]] = {
        (each.part, each.precision): tuple(each.added)
        for each in bundle.manifest.evidence.parity
        if each.added and each.precision != "fp32"
    }
    return [
        (part, graph, names[part.name, graph.precision])
        for part in bundle.manifest.parts
        for graph in part.graphs
        if (part.name, graph.precision) in names
    ]


def layers(bundle: Bundle, device: Device, threads: int | None = None) -> Iterator[Layers]:
    """Run each claimed graph and its part's fp32 graph on the part's probes, and compare inside.

    Raises as `verify.rows`.
    """
    for part, graph, names in claimed(bundle):
        wide = next((each for each in part.graphs if each.precision == "fp32"), None)
        errors = {}
        if wide is not None:
            pair = [program(bundle, part, each, threads) for each in (wide, graph)]
            shared = [name for name in names if all(name in _tensors(each) for each in pair)]
            inside = [replace(each, graph=watched(each.graph, shared)) for each in pair]
            exact = device.how(graph.precision) == "emulated"
            with (
                opened(device, inside[0]) as one,
                opened(device, replace(inside[1], exact=exact)) as other,
            ):
                both = zip(probes(bundle, part, wide), probes(bundle, part, graph), strict=True)
                errors = _errors(shared, (one, other), list(both))
        yield Layers(
            name=part.name,
            precision=graph.precision,
            errors=errors,
            unknown=tuple(name for name in names if name not in errors),
        )


def _tensors(ready: Program) -> set[str]:
    try:
        return tensors(ready.graph)
    except ValueError as error:
        raise BundleError(ready.where, [f"no ONNX graph: {error}"]) from error


def _errors(
    names: Sequence[str], sessions: tuple[Session, Session], pairs: Sequence[tuple[Probe, Probe]]
) -> dict[str, float]:
    """Return the worst distance of each float tensor over all pairs of probes."""
    worst: dict[str, float] = {}
    for pair in pairs:
        wide, narrow = (
            session.run(probe.inputs) for session, probe in zip(sessions, pair, strict=True)
        )
        for name in names:
            if _float(wide[name]) and _float(narrow[name]):
                worst[name] = max(worst.get(name, 0.0), distance(narrow[name], wide[name]))
    return worst


def _float(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating)
