"""Measure again, on this machine, what the graphs give for the reference inputs."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from edgespark.runtime import derived
from edgespark.runtime.backends import Array, Program, Session, backend
from edgespark.runtime.bundle import Bundle, Watch
from edgespark.runtime.derived import PORTABLE, Found
from edgespark.runtime.derived_shelf import entries
from edgespark.runtime.device import Device, How
from edgespark.runtime.errors import BundleError, EdgesparkWarning
from edgespark.runtime.in_place import Laid, laid
from edgespark.runtime.manifest import Graph, Part, Precision
from edgespark.runtime.parts import program
from edgespark.runtime.reference import Probe, probes

RUNS = 5  # timed runs of a part, after one that warms it up


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """How one graph of one part did.

    `error` is the greatest |output - reference| in standard deviations of that reference output,
    over all outputs of all probes (infinite where a value is not finite or a shape differs);
    `limit` is what the manifest allows. `bytes` counts the graph and its weights, `ms` is the
    median time of one run of the first probe, as `load` runs it. `how` says whether the device
    itself computed in that precision ("native"), or every tensor was rounded to it ("emulated"):
    the time is then not that of the emulation. `form` is "portable" for the bundle's own graph,
    else the lowering that made this one of it, which is held to the same limit, and is "native".
    """

    name: str
    precision: Precision
    error: float
    limit: float
    bytes: int
    ms: float
    how: How
    form: str = PORTABLE

    @property
    def title(self) -> str:
        """What the graph is called in a line: its part and precision, and its lowering."""
        lowered = "" if self.form == PORTABLE else f" {self.form}"
        return f"{self.name} {self.precision}{lowered}"

    @property
    def ok(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


def check_files(bundle: Bundle, watch: Watch = nullcontext) -> None:
    """Hash every file of the bundle; BundleError lists all that is missing, changed or strange.

    `watch` is as in `Bundle.problems`.
    """
    problems = bundle.problems(watch)
    if problems:
        raise BundleError(str(bundle.root), problems)


def check_derived(bundle: Bundle) -> None:
    """Hash what was derived of the bundle's graphs; BundleError where any of it is broken."""
    for entry in entries(bundle):
        if entry.wanted is not None and (found := derived.find(bundle, *entry.wanted)):
            derived.check_files(found)


def graphs(bundle: Bundle) -> list[tuple[Part, Graph]]:
    """Return every graph of the bundle beside its part."""
    return [(part, graph) for part in bundle.manifest.parts for graph in part.graphs]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A graph to be measured: the portable one of a part, or what was derived of it."""

    part: Part
    graph: Graph
    found: Found | None = None

    @property
    def name(self) -> str:
        """The form's name: see `Row.form`."""
        return PORTABLE if self.found is None else self.found.record.lowering

    @property
    def bytes(self) -> int:
        """Count the bytes of the graph and its weights."""
        if self.found is not None:
            return self.found.bytes
        return sum(file.bytes for file in (self.graph.file, *self.graph.data))


def forms(bundle: Bundle, device: Device) -> list[Form]:
    """Return every graph, and behind it what was derived of it for the device.

    What the installed engine is too old for is left out, with a warning. BundleError where a
    derived graph's record is broken.
    """
    made = []
    for part, graph in graphs(bundle):
        made.append(Form(part=part, graph=graph))
        found = derived.find(bundle, part, graph, device.lowering) if device.lowering else None
        if found is None:
            continue
        if reason := derived.usable(found.record):
            warnings.warn(f"not measured: {reason}", EdgesparkWarning, stacklevel=2)
        else:
            made.append(Form(part=part, graph=graph, found=found))
    return made


def rows(bundle: Bundle, device: Device, threads: int | None = None) -> Iterator[Row]:
    """Run each form of each graph on its part's reference inputs and compare: a row as it is done.

    BundleError where a file is broken, DeviceError where a graph cannot run here.
    """
    for form in forms(bundle, device):
        yield row(bundle, device, form, threads)


def first(reference: Sequence[Probe]) -> Probe:
    """Return the first probe, which `verify` times."""
    return reference[0]


def shortest(reference: Sequence[Probe]) -> Probe:
    """Return the probe with the least to read but for states: a decoder's single step."""
    return min(reference, key=_read)


def _read(probe: Probe) -> int:
    states = {state.past.name for state in probe.states}
    return sum(array.size for name, array in probe.inputs.items() if name not in states)


def row(
    bundle: Bundle,
    device: Device,
    form: Form,
    threads: int | None = None,
    timed: Callable[[Sequence[Probe]], Probe] = first,
) -> Row:
    """Run one graph on its part's reference inputs and compare; raises as `rows`.

    The time is that of the probe that `timed` chooses.
    """
    part, graph = form.part, form.graph
    how = device.how(graph.precision) if form.found is None else "native"
    ready = (
        program(bundle, part, graph, threads)
        if form.found is None
        else derived.program(form.found, threads)
    )
    reference = probes(bundle, part, graph)
    ready = replace(ready, exact=how == "emulated")
    error, ms = _measured(form, reference, timed(reference), device, ready)
    return Row(
        name=part.name,
        precision=graph.precision,
        error=error,
        limit=graph.limit,
        bytes=form.bytes,
        ms=ms,
        how=how,
        form=form.name,
    )


@contextmanager
def opened(device: Device, program: Program, found: Found | None = None) -> Iterator[Session]:
    """Open a session for a block, and close it behind it; errors as `derived.advised`."""
    with derived.advised(found):
        session = backend(device.backend).open_session(program)
    try:
        yield session
    finally:
        session.close()


def distance(output: Array, reference: Array) -> float:
    """Return the greatest |output - reference| in standard deviations of the reference."""
    finite = np.isfinite(output).all() and np.isfinite(reference).all()
    if output.shape != reference.shape or not finite:
        return inf
    if not output.size:
        return 0.0
    wide = reference.astype(np.float64)
    delta, spread = float(np.abs(output - wide).max()), float(wide.std())
    if spread == 0:
        return 0.0 if delta == 0 else inf
    return delta / spread


def _measured(
    form: Form, reference: Sequence[Probe], timed: Probe, device: Device, ready: Program
) -> tuple[float, float]:
    """Return the error, and the milliseconds; what is run exactly is timed apart, as it runs."""
    record = None if form.found is None else form.found.record
    with opened(device, ready, form.found) as session:
        error = max(_error(probe, laid(session, probe, record)) for probe in reference)
        if not ready.exact:
            return error, _median(laid(session, timed, record).run)
    with opened(device, replace(ready, exact=False), form.found) as session:
        once = laid(session, timed, record)
        once.run()
        return error, _median(once.run)


def _error(probe: Probe, ready: Laid) -> float:
    made = ready.outputs()
    return max(distance(made[name], wanted) for name, wanted in probe.outputs.items())


def median_ms(session: Session, inputs: Mapping[str, Array]) -> float:
    """Return the median time of RUNS runs in milliseconds; the graph has run once before."""
    return _median(lambda: session.run(inputs))


def _median(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken)
