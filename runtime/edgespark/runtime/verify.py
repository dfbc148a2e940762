"""Measure again, on this machine, what the graphs give for the reference inputs."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from edgespark.runtime.backends import Array, Program, Session, backend
from edgespark.runtime.bundle import Bundle, Watch
from edgespark.runtime.codes import decoded
from edgespark.runtime.device import Device, How
from edgespark.runtime.errors import BundleError
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
    the time is then not that of the emulation.
    """

    name: str
    precision: Precision
    error: float
    limit: float
    bytes: int
    ms: float
    how: How

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


def graphs(bundle: Bundle) -> list[tuple[Part, Graph]]:
    """Return every graph of the bundle beside its part."""
    return [(part, graph) for part in bundle.manifest.parts for graph in part.graphs]


def rows(bundle: Bundle, device: Device, threads: int | None = None) -> Iterator[Row]:
    """Run each graph on its part's reference inputs and compare; one row per graph, as it is done.

    BundleError where a file is broken, DeviceError where a graph cannot run here.
    """
    for part, graph in graphs(bundle):
        reference, how = probes(bundle, part, graph), device.how(graph.precision)
        ready = program(bundle, part, graph, threads)
        error, ms = _measured(reference, device, ready, how)
        yield Row(
            name=part.name,
            precision=graph.precision,
            error=error,
            limit=graph.limit,
            bytes=sum(file.bytes for file in (graph.file, *graph.data)),
            ms=ms,
            how=how,
        )


@contextmanager
def opened(device: Device, program: Program) -> Iterator[Session]:
    """Open a session for a block, and close it behind it."""
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
    reference: Sequence[Probe], device: Device, ready: Program, how: How
) -> tuple[float, float]:
    """Return the error, and the milliseconds; what is emulated is timed apart, as it runs."""
    first = reference[0].inputs
    with opened(device, replace(ready, exact=how == "emulated")) as session:
        error = max(_error(probe, session) for probe in reference)
        if how == "native":
            return error, median_ms(session, first)
    with opened(device, ready) as session:
        session.run(first)
        return error, median_ms(session, first)


def _error(probe: Probe, session: Session) -> float:
    made = decoded(session.run(probe.inputs), probe.states)
    return max(distance(made[name], wanted) for name, wanted in probe.outputs.items())


def median_ms(session: Session, inputs: Mapping[str, Array]) -> float:
    """Return the median time of RUNS runs in milliseconds; the graph has run once before."""
    taken = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        session.run(inputs)
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken)
