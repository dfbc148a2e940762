"""The parts of a bundle, opened when they are first used."""

from collections.abc import Callable, Mapping

from edgespark.runtime.backends import Array, Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Graph, Part, Precision
from edgespark.runtime.stats import Record

Open = Callable[[Program], Session]


class Parts:
    """The sessions of one variant; a graph is hashed when it is opened, before it is used."""

    def __init__(
        self, bundle: Bundle, precisions: Mapping[str, Precision], opener: Open, threads: int | None
    ) -> None:
        """Prepare to open graphs with `opener` at one precision per part; nothing is read yet."""
        self._bundle = bundle
        self._precisions = precisions
        self._open = opener
        self._threads = threads
        self._sessions: dict[str, Session] = {}

    def run(
        self,
        name: str,
        record: Record,
        inputs: Mapping[str, Array],
        *,
        outputs: Mapping[str, Array] | None = None,
        stage: str = "",
    ) -> dict[str, Array]:
        """Run the part and note what it took as `stage` (by default the part's name)."""
        session = self._sessions.get(name)
        if session is None:
            with record.stage(f"load.{name}"):
                session = self._opened(name)
            self._sessions[name] = session
        with record.stage(stage or name):
            return session.run(inputs, outputs)

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
            session = self._sessions.pop(each, None)
            if session is not None:
                session.close()

    def _opened(self, name: str) -> Session:
        part = self._bundle.manifest.part(name)
        return self._open(program(self._bundle, part, self.graph(name), self._threads))


def program(bundle: Bundle, part: Part, graph: Graph, threads: int | None) -> Program:
    """Read and hash what a backend needs to open the graph; BundleError where a hash differs."""
    for file in graph.data:
        bundle.verified(file)
    return Program(
        where=graph.file.path,
        graph=bundle.read(graph.file),
        folder=(bundle.root / graph.file.path).parent if graph.data else None,
        inputs=tuple(p.name for p in part.inputs) + tuple(s.past.name for s in graph.states),
        outputs=tuple(p.name for p in part.outputs) + tuple(s.new.name for s in graph.states),
        threads=threads,
    )
