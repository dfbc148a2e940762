"""Measure again, on this machine, what the graphs give for the reference inputs."""

import io
import statistics
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np

from edgespark.runtime.backends import Array, Session, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import Device
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import File, Graph, Part, Precision
from edgespark.runtime.parts import program

RUNS = 5  # timed runs of a part, after one that warms it up


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """How one graph of one part did.

    `error` is the greatest |output - reference| in standard deviations of that reference output,
    over all outputs (infinite where a value is not finite or a shape differs); `limit` is what the
    manifest allows. `bytes` counts the graph and its weights, `ms` is the median time of one run.
    `how` is "native", or "widened" where the device computes that precision in float32.
    """

    name: str
    precision: Precision
    error: float
    limit: float
    bytes: int
    ms: float
    how: Literal["native", "widened"]

    @property
    def ok(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


def check_files(bundle: Bundle) -> None:
    """Hash every file of the bundle; BundleError lists all that is missing, changed or strange."""
    problems = bundle.problems()
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
        reference = arrays(bundle, part.reference)
        session = backend(device.backend).open_session(program(bundle, part, graph, threads))
        try:
            yield _row(part, graph, reference, session, device)
        finally:
            session.close()


def arrays(bundle: Bundle, file: File) -> dict[str, Array]:
    """Return the arrays of an .npz of the bundle, from the bytes that were hashed."""
    try:
        with np.load(io.BytesIO(bundle.read(file)), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(file.path, [f"no .npz of plain arrays: {error}"]) from error


def distance(output: Array, reference: Array) -> float:
    """Return the greatest |output - reference| in standard deviations of the reference."""
    if output.shape != reference.shape or not np.isfinite(output).all():
        return inf
    if not output.size:
        return 0.0
    wide = reference.astype(np.float64)
    delta, spread = float(np.abs(output - wide).max()), float(wide.std())
    if spread == 0:
        return 0.0 if delta == 0 else inf
    return delta / spread


def _row(
    part: Part, graph: Graph, reference: Mapping[str, Array], session: Session, device: Device
) -> Row:
    taken = [port.name for port in part.inputs] + [state.past.name for state in graph.states]
    given = [port.name for port in part.outputs] + [state.new.name for state in graph.states]
    wanted = [f"in.{name}" for name in taken] + [f"out.{name}" for name in given]
    lacking = [f"has no array {name!r}" for name in wanted if name not in reference]
    if lacking:
        raise BundleError(part.reference.path, lacking)
    inputs = {name: reference[f"in.{name}"] for name in taken}
    made = session.run(inputs)
    return Row(
        name=part.name,
        precision=graph.precision,
        error=max(distance(made[name], reference[f"out.{name}"]) for name in given),
        limit=graph.limit,
        bytes=sum(file.bytes for file in (graph.file, *graph.data)),
        ms=median_ms(session, inputs),
        how=device.how(graph.precision),
    )


def median_ms(session: Session, inputs: Mapping[str, Array]) -> float:
    """Return the median time of RUNS runs in milliseconds; the graph has run once before."""
    taken = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        session.run(inputs)
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken)
