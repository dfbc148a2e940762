"""The runtime's own chain, with other graphs in place of some parts' own."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgespark.calibration.sets import Sample
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import device_named
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra, UsageError
from edgespark.runtime.manifest import Graph, Manifest, Part, Precision, Route, State, Variant
from edgespark.runtime.model import Model, Setup
from edgespark.runtime.ports import part_and_port
from edgespark.runtime.prompt import question
from edgespark.runtime.wording import listed, near

OpenPart = Callable[[str, Program], Session]
"""Opens what is named first: a part of the bundle."""


class SampleSource(Protocol):
    """Samples of some modalities, as a `CalibrationSet` gives them: read one by one."""

    @property
    def digest(self) -> str:
        """A digest of all that the samples depend on."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it has samples of, at least one each."""

    def count(self, modality: str) -> int:
        """Return the number of samples of a modality."""

    def samples(self, modality: str) -> Iterator[Sample]:
        """Give the samples of a modality, each read when it is wanted."""


FLOATS: tuple[Precision, ...] = ("fp32", "fp16")
DEVICE = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Swap:
    """A graph in place of a part's own, with the same ports.

    `folder` is where its external data lies, in files of the names in `data`. `states` are those of
    a decoder's graph where they differ from its own (None: they do not). `exact` runs it node by
    node: what is float16 is then rounded to it.
    """

    graph: bytes
    folder: Path | None = None
    data: tuple[str, ...] = ()
    states: tuple[State, ...] | None = None
    exact: bool = False

    def program(self, own: Program) -> Program:
        """Return what opens this graph in place of the part's own."""
        return replace(own, graph=self.graph, folder=self.folder, data=self.data, exact=self.exact)


def open_part(_: str, program: Program) -> Session:
    """Open a graph on the CPU; errors as the backend's."""
    return backend(device_named(DEVICE).backend).open_session(program)


def opened(
    bundle: Bundle,
    graphs: Mapping[str, Swap] | None = None,
    *,
    opens: OpenPart = open_part,
    threads: int | None = None,
) -> Model:
    """Return the chain of the bundle's reference graphs, with `graphs` in place of some parts' own.

    Nothing is opened before it is used, and then by `opens`. KeyError for a part that is none.
    """
    swaps = dict(graphs or {})
    manifest = _with_states(bundle.manifest, swaps)
    owners = {reference_graph(part).file.path: part.name for part in manifest.parts}

    def opener(program: Program) -> Session:
        name = owners[program.where]
        return opens(name, swaps[name].program(program) if name in swaps else program)

    variant = Variant(
        name="reference",
        precisions={part.name: reference_graph(part).precision for part in manifest.parts},
    )
    setup = Setup(device=device_named(DEVICE), variant=variant, threads=threads)
    return Model(Bundle(bundle.root, manifest), setup, opener)


def reference_graph(part: Part) -> Graph:
    """Return the part's widest float graph; UsageError where it has none."""
    for precision in FLOATS:
        for graph in part.graphs:
            if graph.precision == precision:
                return graph
    has = ", ".join(graph.precision for graph in part.graphs)
    raise UsageError(
        f"part {part.name!r} has graphs at {has} only; ranges are gathered on a float graph: "
        "export the bundle with --precision fp32,…"
    )


def passed(manifest: Manifest, route: Route) -> tuple[str, ...]:
    """Return every part that a route's modality passes on its way to its scores and answer."""
    ends = (*(wire.target for wire in route.wires), route.output)
    names = [part_and_port(end)[0] for end in ends]
    language = manifest.language
    names += [language.embedder, language.decoder]
    names += [] if route.head is None else [route.head.part]
    return tuple(dict.fromkeys(names))


def reached(manifest: Manifest, part: str) -> tuple[str, ...]:
    """Return the modalities that pass a part, in the bundle's order."""
    return tuple(route.modality for route in manifest.routes if part in passed(manifest, route))


def shared(manifest: Manifest, modalities: Iterable[str]) -> tuple[str, ...]:
    """Return those of a set's modalities that the bundle takes, in the set's order.

    EdgesparkWarning names the others; InputError where none is left.
    """
    known, has = [route.modality for route in manifest.routes], list(modalities)
    others = [each for each in has if each not in known]
    told = listed(others, lambda each: f"{each!r}{near(each, known)}")
    if len(others) == len(has):
        raise InputError(
            f"the bundle takes none of the set's modalities ({told}); it takes: {', '.join(known)}"
        )
    if others:
        warnings.warn(
            f"the bundle does not take {told}: samples of that in the set are not used",
            EdgesparkWarning,
            stacklevel=2,
        )
    return tuple(each for each in has if each in known)


def asked(manifest: Manifest, route: Route, prompt: str | None) -> str:
    """Return what a sample is asked, in the template: its own question, or the default one.

    That is the route's, or the language's. UsageError for one that cannot be asked.
    """
    return question(manifest.language, prompt or route.question or manifest.language.question)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put the sample's place before what is wrong with it: InputError, or what is missing."""
    try:
        yield
    except UsageError as error:
        kind = type(error) if isinstance(error, InputError | MissingExtra) else InputError
        raise kind(f"{where}: {error}") from error


def _with_states(manifest: Manifest, swaps: Mapping[str, Swap]) -> Manifest:
    """Let the decoder have the states of the graph that stands in place of its own."""
    for name in swaps:
        manifest.part(name)
    parts = [
        _restated(part, swaps[part.name]) if part.name in swaps else part for part in manifest.parts
    ]
    return replace(manifest, parts=tuple(parts))


def _restated(part: Part, swap: Swap) -> Part:
    if swap.states is None:
        return part
    own = reference_graph(part)
    graphs = [replace(own, states=swap.states) if each is own else each for each in part.graphs]
    return replace(part, graphs=tuple(graphs))
