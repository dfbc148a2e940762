"""The time of one step of the decoder on the CPU, in each of its precisions."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgespark.engines.cpu_decoder import lower_decoder
from edgespark.runtime.backends import Array, Program, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Graph, Part, Port, Precision
from edgespark.runtime.parts import program
from edgespark.runtime.states import Appended, InPlace, States

Step = Callable[[], None]
TOGETHER = 1 << 30
"""Bytes of graphs that are opened at once, and timed in turn; larger ones are timed one by one."""
PAST = 128
"""Positions behind which the step is taken, where the context has so many."""
WARM, ROUNDS = 3, 25
ONE = ("batch", "sequence", "selected")


def step_ms(
    bundle: Bundle, precisions: Sequence[Precision], *, work: Path | None = None
) -> dict[Precision, float]:
    """Time a decoder's step in these precisions: the median of some rounds, in milliseconds.

    With a folder to `work` in it is that of the graph that is derived for the CPU, where one can
    be: it lies in that folder while it is timed. OSError where nothing can be written there.
    """
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    graphs = [each for each in part.graphs if each.precision in precisions]
    together = sum(_bytes(each) for each in graphs) <= TOGETHER
    found: dict[Precision, float] = {}
    for group in [graphs] if together else [[each] for each in graphs]:
        with ExitStack() as stack:
            opened = _portable if work is None else partial(_lowered, work)
            found |= _medians(
                {each.precision: stack.enter_context(opened(bundle, part, each)) for each in group}
            )
    return found


def _bytes(graph: Graph) -> int:
    return graph.file.bytes + sum(file.bytes for file in graph.data)


def _medians(steps: Mapping[Precision, Step]) -> dict[Precision, float]:
    taken: dict[Precision, list[float]] = {each: [] for each in steps}
    for _ in range(WARM + ROUNDS):
        for precision, step in steps.items():
            began = time.perf_counter()
            step()
            taken[precision].append(1e3 * (time.perf_counter() - began))
    return {precision: statistics.median(each[WARM:]) for precision, each in taken.items()}


@contextmanager
def _portable(bundle: Bundle, part: Part, graph: Graph) -> Iterator[Step]:
    context = bundle.manifest.language.context
    ready = program(bundle, part, graph, None)
    with _step(ready, part.outputs, Appended(part.name, graph.states, context)) as step:
        yield step


@contextmanager
def _lowered(work: Path, bundle: Bundle, part: Part, graph: Graph) -> Iterator[Step]:
    context = bundle.manifest.language.context
    with ExitStack() as stack:
        # in the work folder: a machine's own may be memory; what stays of it goes with that one
        folder = stack.enter_context(TemporaryDirectory(dir=work, ignore_cleanup_errors=True))
        into = Path(folder) / "decoder.onnx"
        given = bundle.root / graph.file.path
        try:
            made = lower_decoder(given, graph.states, part.inputs, part.outputs, context, into)
        except CheckError:  # of a form that nothing is derived of: this is what runs
            yield stack.enter_context(_portable(bundle, part, graph))
            return
        # by hand, not as a record: nobody else writes there, so that there is nothing to hash
        ready = Program(
            where=graph.file.path,
            graph=into.read_bytes(),
            inputs=(*made.inputs, *(each.past for each in made.states)),
            outputs=(*made.outputs, *(each.new for each in made.states)),
            folder=into.parent if made.data else None,
            data=made.data,
        )
        states = InPlace(part.name, made.states, context)
        yield stack.enter_context(_step(ready, made.outputs, states))


@contextmanager
def _step(ready: Program, outputs: Sequence[Port], states: States) -> Iterator[Step]:
    """Open a decoder as `load` does, and bind what a step of one position reads and writes."""
    embeds = next(each for each in ready.inputs if each.name == "inputs_embeds")
    past = min(PAST, embeds.axes[1].high - 1)
    read, written = states.bound(past, past + 1)
    fed: dict[str, Array] = {
        **read,
        "inputs_embeds": np.full(_shape(embeds), 0.1, np.float32),
        "select": np.zeros(1, np.int64),
    }
    given = {**written, **{port.name: np.empty(_shape(port), port.dtype) for port in outputs}}
    with closing(backend("onnxruntime").open_session(replace(ready, steady=True))) as session:
        yield session.bind(fed, given)


def _shape(port: Port) -> tuple[int, ...]:
    return tuple(1 if axis.name in ONE else axis.high for axis in port.axes)
