"""The formats that an LLM can be stored in: each as the exporter makes it, and its step's time."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from edgespark.calibration.chain import Swap
from edgespark.calibration.gather import How, gather
from edgespark.calibration.sets import CalibrationSet
from edgespark.engines.weight_only import ROUNDINGS, Rounder, Weights
from edgespark.export.lowering import moments_of
from edgespark.export.models.tiny import TINY
from edgespark.export.pack import Draft
from edgespark.export.placing import Lowering, Traced, place
from edgespark.export.recipes import recipe
from edgespark.export.spending import swapped
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.codes import coded
from edgespark.runtime.manifest import Graph, Precision, State
from edgespark.runtime.reference import arrays

BLOCKS = (128, 64, 32)
LARGE = 256  # which TensorRT does not read
ROUNDS, WARM = 40, 5
STEP = 2
"""The probe of the decoder that is a single step behind a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A way to store the LLM: its name, and what the exporter is told.

    One that is `derived` is scored on the graph that is derived of it for a CPU.
    """

    name: str
    precision: Precision
    weights: Weights
    cache: bool = False
    derived: bool = False


def formats() -> Iterator[Format]:
    """Give the formats that are compared, beside float32."""
    for rounding in ROUNDINGS:
        yield Format(name=f"int8 {rounding}", precision="int8", weights=Weights(rounding=rounding))
    for block, rounding in product(BLOCKS, ROUNDINGS):
        made = Weights(block=block, rounding=rounding)
        yield Format(name=f"int4 b{block} {rounding}", precision="int4", weights=made)
    few: tuple[Rounder, ...] = ("nearest", "gptq")
    for rounding in few:
        made = Weights(rounding=rounding, last=4)
        yield Format(name=f"int4 b128 {rounding}, logits int4", precision="int4", weights=made)
    for rounding in few:
        made = Weights(rounding=rounding, signed=True)
        yield Format(name=f"int4 b128 {rounding}, signed", precision="int4", weights=made)
    made = Weights(block=LARGE, signed=True)
    yield Format(name=f"int4 b{LARGE} nearest, signed", precision="int4", weights=made)
    yield from _caches()


def _caches() -> Iterator[Format]:
    """Give formats with keys and values in int8, each behind the same weights with float32 ones."""
    plain, best = Weights(), Weights(rounding="gptq")
    told: tuple[tuple[str, Precision, Weights], ...] = (
        ("int8 nearest", "int8", plain),
        ("int8 gptq", "int8", best),
        ("int4 b128 gptq", "int4", best),
    )
    for (name, precision, weights), cache in product(told, (False, True)):
        yield Format(
            name=f"{name}, int8 KV, derived" if cache else f"{name}, derived",
            precision=precision,
            weights=weights,
            cache=cache,
            derived=True,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A format's decoder: what stands in the chain for the bundle's own, and its bytes.

    `derived`: as in Format.
    """

    name: str
    swap: Swap | None
    bytes: int
    derived: bool = False


def made(bundle: Bundle, samples: CalibrationSet, draft: Draft, limit: int) -> Iterator[Made]:
    """Make the decoder in every format, float32 first; what is in the draft goes with it."""
    decoder = bundle.manifest.language.decoder
    yield Made(name="fp32", swap=None, bytes=_wide(bundle).file.bytes)
    found = gather(bundle, samples, how=How(limit=limit))[decoder]
    stage = _stage(bundle)
    moments = moments_of(bundle, samples, limit, draft)
    for i, each in enumerate(formats()):
        lowering = Lowering(
            calibration=found, cache=each.cache, weights=each.weights, moments=moments
        )
        own = replace(draft, root=draft.root / f"{i}")
        placed = place(stage, each.precision, own, None, lowering)
        size = len(placed.content) + sum(file.bytes for file in placed.data)
        yield Made(name=each.name, swap=swapped(placed, own), bytes=size, derived=each.derived)


def _stage(bundle: Bundle) -> Traced:
    modalities = tuple(route.modality for route in bundle.manifest.routes)
    blueprint = recipe(TINY.name).blueprint(TINY.name, None, modalities)
    name = bundle.manifest.language.decoder
    return Traced(next(each for each in blueprint.stages if each.name == name))


def step_ms(bundle: Bundle, found: Sequence[Made]) -> dict[str, float]:
    """Time one decoder step of every format, interleaved: the medians."""
    runs = {each.name: _step(bundle, each) for each in found}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(WARM + ROUNDS):
        for name, step in runs.items():
            began = time.perf_counter()
            step()
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: float(np.median(each[WARM:])) for name, each in taken.items()}


def _step(bundle: Bundle, each: Made) -> Callable[[], object]:
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    wide, start = _wide(bundle), f"{STEP}.in."
    states = states_of(bundle, each)
    own = Program(
        where=each.name,
        graph=bundle.read(wide.file),
        inputs=(*part.inputs, *(state.past for state in states)),
        outputs=(*part.outputs, *(state.new for state in states)),
        threads=1,
    )
    session = backend("onnxruntime").open_session(each.swap.program(own) if each.swap else own)
    probes = arrays(bundle, part.reference).items()
    given = {name.removeprefix(start): array for name, array in probes if name.startswith(start)}
    return partial(session.run, coded(given, states))


def states_of(bundle: Bundle, each: Made) -> tuple[State, ...]:
    """Return the states of a format's portable graph."""
    own = None if each.swap is None else each.swap.states
    return own or _wide(bundle).states


def _wide(bundle: Bundle) -> Graph:
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    return next(graph for graph in part.graphs if graph.precision == "fp32")
