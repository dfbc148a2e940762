"""The parts of a bundle, opened when they are first used."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from edgespark.runtime.backends import Array, Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.manifest import Graph, Part, Port, Precision
from edgespark.runtime.memory import zeros
from edgespark.runtime.ports import misfits
from edgespark.runtime.stats import Record

Open = Callable[[Program], Session]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An opened part, and those of its outputs whose shape is known, allocated once."""

    part: Part
    session: Session
    outputs: Mapping[str, Array]


class Parts:
    """The sessions of one variant; a graph is hashed when it is opened, before it is used."""

    def __init__(
        self,
        bundle: Bundle,
        precisions: Mapping[str, Precision],
        opener: Open,
        threads: int | None,
        exact: Collection[Precision] = (),
    ) -> None:
        """Prepare to open graphs with `opener` at one precision per part; nothing is read yet.

        Those of the precisions in `exact` are run as they are written (`Program.exact`).
        """
        self._bundle = bundle
        self._precisions = precisions
        self._open = opener
        self._threads = threads
        self._exact = exact
        self._loaded: dict[str, Loaded] = {}

    def run(
        self,
        name: str,
        record: Record,
        inputs: Mapping[str, Array],
        *,
        outputs: Mapping[str, Array] | None = None,
        stage: str = "",
    ) -> dict[str, Array]:
        """Run the part and note what it took as `stage` (by default the part's name).

        Without `outputs` of the caller it writes into the part's own: its next run overwrites them.
        BundleError where the graph gives another shape than the manifest promises.
        """
        loaded = self._loaded.get(name)
        if loaded is None:
            with record.stage(f"load.{name}"):
                loaded = self._opened(name)
            self._loaded[name] = loaded
        bound = loaded.outputs if outputs is None else outputs
        with record.stage(stage or name):
            made = loaded.session.run(inputs, bound)
            free = {port: array for port, array in made.items() if port not in bound}
            if free and (problems := misfits(loaded.part, inputs, free)):
                raise BundleError(self.graph(name).file.path, problems)
            return made

    def graph(self, name: str) -> Graph:
        """Return the graph of the part that this variant uses."""
        wanted = self._precisions[name]
        return next(g for g in self._bundle.manifest.part(name).graphs if g.precision == wanted)

    def drop(self, name: str | None = None) -> None:
        """Close the part's session, or every session; UsageError for a name that is no part."""
        known = [part.name for part in self._bundle.manifest.parts]
        if name is not None and name not in known:
            raise UsageError(f"no part {name!r} to drop; there are: {', '.join(known)}")
        for each in (name,) if name else known:
            loaded = self._loaded.pop(each, None)
            if loaded is not None:
                loaded.session.close()

    def _opened(self, name: str) -> Loaded:
        part, graph = self._bundle.manifest.part(name), self.graph(name)
        ready = program(self._bundle, part, graph, self._threads)
        session = self._open(replace(ready, exact=graph.precision in self._exact))
        return Loaded(part, session, allocated(part))


def allocated(part: Part) -> dict[str, Array]:
    """Return an array for each output with no dynamic axis but batch, which is 1.

    DeviceError where the memory does not suffice.
    """
    fixed = [p for p in part.outputs if all(a.static or a.name == "batch" for a in p.axes)]
    return {
        port.name: zeros(
            [axis.high if axis.static else 1 for axis in port.axes],
            port.dtype,
            f"part {part.name!r}: its output {port.name!r}",
        )
        for port in fixed
    }


def fed(part: Part, graph: Graph) -> tuple[Port, ...]:
    """Return all ports that the graph reads, the past states last."""
    return (*part.inputs, *(state.past for state in graph.states))


def given(part: Part, graph: Graph) -> tuple[Port, ...]:
    """Return all ports that the graph writes, the new states last."""
    return (*part.outputs, *(state.new for state in graph.states))


def program(bundle: Bundle, part: Part, graph: Graph, threads: int | None) -> Program:
    """Read and hash what a backend needs to open the graph; BundleError where a hash differs."""
    for file in graph.data:
        bundle.verified(file)
    return Program(
        where=graph.file.path,
        graph=bundle.read(graph.file),
        inputs=fed(part, graph),
        outputs=given(part, graph),
        folder=(bundle.root / graph.file.path).parent if graph.data else None,
        data=tuple(PurePosixPath(file.path).name for file in graph.data),
        threads=threads,
    )
