r"""What each way to store the LLM's weights costs: scores, perplexity, bytes, and time of a step.

    python -m benchmarks.llm_formats build/tiny --calibration build/calibration \
        --json docs/results/llm-formats.json

Every format is made of allspark-tiny's own weights by what the exporter uses, and stands in the
place of the bundle's float32 decoder; embedder, encoders and heads stay float32, so that the LLM's
format alone shows. Scores are those of heads and of greedy answers on samples of a stream that
nothing was trained, judged or calibrated on; differences from float32 are of single samples, and
stand with their standard error: points of accuracy, or per cent of an error metric. Perplexity is
that of the right answers' tokens and the end, fed one by one.

"step" is the median time of one decoder step behind a whole prompt, of the portable graph in ONNX
Runtime on one thread, formats interleaved; nothing else is timed. The last line is one JSON
document.
"""

import argparse
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.answer_perplexity import surprises
from benchmarks.first_token import destination, publish
from benchmarks.paired_scores import STREAM, Task, fresh, tasks
from edgespark.calibration.chain import Swap, opened
from edgespark.calibration.gather import How, gather
from edgespark.calibration.outcomes import Outcome, Tap, apart
from edgespark.calibration.sets import CalibrationSet
from edgespark.calibration.task_scores import Trial, Truth
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
from edgespark.runtime.errors import EdgesparkError
from edgespark.runtime.manifest import Graph, Precision, Route
from edgespark.runtime.model import Model
from edgespark.runtime.options import Options, check_count
from edgespark.runtime.progress import track
from edgespark.runtime.prompt import Piece, question
from edgespark.runtime.reference import arrays
from edgespark.runtime.stats import Record
from edgespark.runtime.wording import aligned

MOST = 100_000  # samples
BLOCKS = (128, 64, 32)
ROUNDS, WARM = 40, 5
VERSIONS = ("edgespark", "numpy", "onnx", "onnxruntime", "torch")
STEP = 2
"""The probe of the decoder that is a single step behind a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A way to store the LLM: its name, and what the exporter is told."""

    name: str
    precision: Precision
    weights: Weights
    cache: bool = False


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
    plain, best = Weights(), Weights(rounding="gptq")
    yield Format(name="int8 nearest, int8 KV", precision="int8", weights=plain, cache=True)
    yield Format(name="int8 gptq, int8 KV", precision="int8", weights=best, cache=True)
    yield Format(name="int4 b128 gptq, int8 KV", precision="int4", weights=best, cache=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A format's decoder: what stands in the chain for the bundle's own, and its bytes."""

    name: str
    swap: Swap | None
    bytes: int


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
        yield Made(name=each.name, swap=swapped(placed, own), bytes=size)


def _stage(bundle: Bundle) -> Traced:
    modalities = tuple(route.modality for route in bundle.manifest.routes)
    blueprint = recipe(TINY.name).blueprint(TINY.name, None, modalities)
    name = bundle.manifest.language.decoder
    return Traced(next(each for each in blueprint.stages if each.name == name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A sample whose encoders have run: what stands before the question, and what is right."""

    route: Route
    blocks: list[Piece]
    question: str
    answer: str
    truth: Truth


def cases(bundle: Bundle, drawn: CalibrationSet) -> Iterator[Case]:
    """Run all parts before the decoder once."""
    model = opened(bundle, threads=1)
    counts = {each: drawn.count(each) for each in drawn.modalities}
    with track(counts, "encode", len(counts)) as shown:
        for modality in shown:
            for each in drawn.samples(modality):
                ready = model.chain.prepared(modality, each.value, Record())
                blocks = model.blocks({modality: ready}, Record())
                kept = [b.copy() if isinstance(b, np.ndarray) else b for b in blocks]
                model.chain.clear()
                yield Case(
                    route=bundle.manifest.route(modality),
                    blocks=kept,
                    question=each.question or "",
                    answer=each.answer or "",
                    truth=Truth(
                        label=each.label,
                        target=each.target,
                        answer=each.answer,
                        anchor=ready.anchor,
                    ),
                )
    model.drop(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What a decoder made of every case: outcomes, and -log p of each token of right answers."""

    outcomes: list[Outcome]
    surprises: list[float]


def ran(bundle: Bundle, each: Made, found: Sequence[Case]) -> Ran:
    """Run the cases on one format."""
    decoder = bundle.manifest.language.decoder
    tap = Tap(decoder)
    swaps = {} if each.swap is None else {decoder: each.swap}
    model = opened(bundle, swaps, opens=tap.open, threads=1)
    outcomes, told = [], list[float]()
    with track(found, each.name, len(found)) as shown:
        for case in shown:
            outcomes.append(_outcome(model, tap, case))
            told += surprises(model, case.blocks, case.question, case.answer)
    model.drop(None)
    return Ran(outcomes=outcomes, surprises=told)


def _outcome(model: Model, tap: Tap, case: Case) -> Outcome:
    record, route, language = Record(), case.route, model.manifest.language
    tap.hidden.clear()
    scores = None
    if route.head is not None:
        scores = model.scores({route.modality: route.head}, case.blocks, record)[route.modality]
    prompts, tokens = len(tap.hidden) + 1, language.generation.max_tokens
    rows = model.sequence(case.blocks, question(language, case.question), tokens, record)
    answer = "".join(model.answer(rows, Options(max_tokens=tokens), record))
    return Outcome(hidden=np.stack(tap.hidden[:prompts]), scores=scores, answer=answer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """How a modality did in a format: the end-to-end error, equal answers, and each task."""

    error: float
    same_answers: float
    tasks: dict[str, Task]


def judged(found: Sequence[Case], own: Ran, wide: Ran) -> dict[str, Judged]:
    """Judge each modality beside float32."""
    told = {}
    for modality in dict.fromkeys(case.route.modality for case in found):
        places = [i for i, case in enumerate(found) if case.route.modality == modality]
        trial = Trial(
            route=found[places[0]].route,
            made=[own.outcomes[i] for i in places],
            wanted=[wide.outcomes[i] for i in places],
            truths=[found[i].truth for i in places],
        )
        same = [own.outcomes[i].answer == wide.outcomes[i].answer for i in places]
        told[modality] = Judged(
            error=apart(trial.made, trial.wanted),
            same_answers=float(np.mean(same)),
            tasks=tasks(trial),
        )
    return told


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
    states = wide.states if each.swap is None else each.swap.states or wide.states
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


def _wide(bundle: Bundle) -> Graph:
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    return next(graph for graph in part.graphs if graph.precision == "fp32")


def document(each: Made, own: Ran, wide: Ran, told: Mapping[str, Judged]) -> dict[str, object]:
    """Return what was found of a format as plain values."""
    there = [task for one in told.values() for task in one.tasks.values()]
    points = [task for task in there if task.higher_is_better]
    perplexity, base = (math.exp(np.mean(one.surprises)) for one in (own, wide))
    return {
        "bytes": each.bytes,
        "perplexity": round(perplexity, 6),
        "perplexity_of_fp32": round(perplexity / base, 6),
        "accuracy": round(float(np.mean([task.value for task in points])), 5),
        "mean_points_lost": round(float(np.mean([task.lost() for task in points])), 4),
        "most_points_lost": round(max(task.lost() for task in points), 4),
        "most_per_cent_lost": round(
            max((task.lost() for task in there if not task.higher_is_better), default=0.0), 4
        ),
        "same_answers": round(float(np.mean([one.same_answers for one in told.values()])), 5),
        "error": round(float(np.mean([one.error for one in told.values()])), 5),
        "modalities": {
            modality: {
                "error": round(one.error, 5),
                "same_answers": one.same_answers,
                "tasks": {name: _plain(task) for name, task in one.tasks.items()},
            }
            for modality, one in told.items()
        },
    }


def _plain(task: Task) -> dict[str, object]:
    return {
        "metric": task.metric,
        "n": task.n,
        "value": round(task.value, 5),
        "lost": round(task.lost(), 4),
        "standard_error": round(task.doubt(), 4),
    }


SHOWN = (
    "bytes",
    "step_ms",
    "perplexity_of_fp32",
    "accuracy",
    "mean_points_lost",
    "most_points_lost",
    "most_per_cent_lost",
    "same_answers",
    "error",
)


def rows(found: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, ...]]:
    """Write a row per format."""
    yield ("format", *SHOWN)
    yield from ((name, *(f"{each[key]}" for key in SHOWN)) for name, each in found.items())


def compare(given: argparse.Namespace, bundle: Bundle, folder: Path) -> dict[str, object]:
    """Make, time and judge all formats."""
    modalities = [each.modality for each in bundle.manifest.routes]
    there = list(cases(bundle, fresh(folder / "fresh", given.count, modalities)))
    draft = Draft(place=folder / "none", root=folder / "draft", replace=False)
    found = list(made(bundle, CalibrationSet.open(given.calibration), draft, given.samples))
    ms, wide = step_ms(bundle, found), ran(bundle, found[0], there)
    report: dict[str, object] = {}
    for each in found:
        own = wide if each.swap is None else ran(bundle, each, there)
        told = document(each, own, wide, judged(there, own, wide))
        report[each.name] = {"step_ms": round(ms[each.name], 4), **told}
    return report


def run(given: argparse.Namespace) -> int:
    """Print what was found of all formats."""
    check_count("--count", given.count, MOST)
    check_count("--samples", given.samples, MOST)
    bundle = Bundle.open(given.bundle)
    with tempfile.TemporaryDirectory() as temporary:
        found = compare(given, bundle, Path(temporary))
    print("\n".join(aligned(rows(cast("Mapping[str, Mapping[str, object]]", found)))))
    report = {
        "bundle": bundle.manifest.sha256,
        "stream": STREAM,
        "count": given.count,
        "calibrated_on": given.samples,
        "formats": found,
        "command": " ".join(["python -m benchmarks.llm_formats", *sys.argv[1:]]),
        "versions": {name: version(name) for name in VERSIONS},
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    return publish(report, given.json)


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="a bundle of allspark-tiny with fp32")
    parser.add_argument("--calibration", type=Path, required=True, help="a calibration set")
    parser.add_argument("--samples", type=int, default=32, help="of each modality to gather on")
    parser.add_argument("--count", type=int, default=100, help="fresh ones of each modality")
    parser.add_argument("--json", type=destination, help="where to keep that document as well")
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
