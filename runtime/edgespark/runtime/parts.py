"""The parts of a bundle, opened when they are first used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from edgespark.runtime import derived
from edgespark.runtime.backends import Array, Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import Device
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.lowered import Source, source
from edgespark.runtime.manifest import Graph, Part, Port, Precision
from edgespark.runtime.memory import zeros
from edgespark.runtime.ports import misfits
from edgespark.runtime.processor import wide_sums
from edgespark.runtime.stats import Record

Open = Callable[[Program], Session]


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How graphs run: on so many CPU threads (None: the backend's choice), and in which form.

    Graphs of the precisions in `exact` run as they are written (`Program.exact`). Of all others
    those run that were derived for the device `lowered`, where they lie; None keeps to portable
    graphs.
    """

    threads: int | None = None
    exact: frozenset[Precision] = frozenset()
    lowered: Device | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """An opened part, and those of its outputs whose shape is known, allocated once.

    `unsaturated` is as in `Stats`, of this part.
    """

    source: Source
    session: Session
    outputs: Mapping[str, Array]
    unsaturated: bool = False


class Parts:
    """The sessions of one variant; a graph is hashed when it is opened, before it is used."""

    def __init__(
        self, bundle: Bundle, precisions: Mapping[str, Precision], opener: Open, running: Running
    ) -> None:
        """Prepare to open graphs with `opener` at one precision per part; nothing is read yet."""
        self._bundle = bundle
        self._precisions = precisions
        self._open = opener
        self._running = running
        self._sources: dict[str, Source] = {}
        self._loaded: dict[str, Loaded] = {}

    @property
    def lowered(self) -> tuple[str, ...]:
        """The opened parts that run a graph derived for this device."""
        loaded = list(self._loaded.items())  # at once: another thread may drop parts
        return tuple(name for name, each in loaded if each.source.found)

    @property
    def unsaturated(self) -> tuple[str, ...]:
        """The opened parts whose int8 products run by kernels that cannot saturate: see `Stats`."""
        loaded = list(self._loaded.items())
        return tuple(name for name, each in loaded if each.unsaturated)

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
        loaded = self._loaded.get(name) or self._load(name, record)
        bound = loaded.outputs if outputs is None else outputs
        with record.stage(stage or name):
            made = loaded.session.run(inputs, bound)
            free = {port: array for port, array in made.items() if port not in bound}
            if free and (problems := misfits(loaded.source.part, inputs, free)):
                raise _broken(loaded.source, problems)
            return made

    def bind(
        self,
        name: str,
        record: Record,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> Callable[[], None]:
        """Bind arrays to the part for many runs: see `Session.bind`.

        What is returned must not be used after the part was dropped.
        """
        loaded = self._loaded.get(name) or self._load(name, record)
        return loaded.session.bind(inputs, outputs)

    def source(self, name: str) -> Source:
        """Return the part's graph in this variant; warnings and errors as `lowered.source`."""
        if name not in self._sources:
            part, wanted = self._bundle.manifest.part(name), self._precisions[name]
            graph = next(each for each in part.graphs if each.precision == wanted)
            device = None if wanted in self._running.exact else self._running.lowered
            self._sources[name] = source(self._bundle, part, graph, device)
        return self._sources[name]

    def drop(self, name: str | None = None) -> None:
        """Close the part's session, or every session; UsageError for a name that is no part."""
        known = [part.name for part in self._bundle.manifest.parts]
        if name is not None and name not in known:
            raise UsageError(f"no part {name!r} to drop; there are: {', '.join(known)}")
        for each in (name,) if name else known:
            loaded = self._loaded.pop(each, None)
            self._sources.pop(each, None)  # what is derived later is found then
            if loaded is not None:
                loaded.session.close()

    def _load(self, name: str, record: Record) -> Loaded:
        with record.stage(f"load.{name}"):
            self._loaded[name] = self._opened(self.source(name))
        return self._loaded[name]

    def _opened(self, what: Source) -> Loaded:
        running, part = self._running, what.part
        if what.found is None:
            ready = program(self._bundle, part, what.graph, running.threads)
        else:
            ready = derived.program(what.found, running.threads)
        ready = replace(ready, exact=what.graph.precision in running.exact)
        with derived.advised(what.found):
            session = self._open(ready)
        unsaturated = not ready.exact and wide_sums(ready.graph)
        return Loaded(what, session, allocated(part), unsaturated)


def _broken(what: Source, problems: Sequence[str]) -> BundleError:
    """Return the error for a graph that is not as its record says."""
    if what.found is None:
        return BundleError(what.graph.file.path, problems)
    return derived.broken(what.found.files.root, problems)


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
        steady=part.role == "decoder",
    )
