"""Samples put to an LLM whose encoders have run already: what it makes of them, and how well."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.answer_perplexity import surprises
from benchmarks.decoder_formats import Made, states_of
from benchmarks.derived_decoder import opens_derived
from benchmarks.paired_scores import Task, tasks
from edgespark.calibration.chain import open_part, opened
from edgespark.calibration.outcomes import Outcome, Tap, apart
from edgespark.calibration.sets import CalibrationSet
from edgespark.calibration.task_scores import Trial, Truth
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Route
from edgespark.runtime.model import Model
from edgespark.runtime.options import Options
from edgespark.runtime.progress import track
from edgespark.runtime.prompt import Piece, question
from edgespark.runtime.stats import Record


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
    tap = Tap(
        decoder, opens_derived(bundle, states_of(bundle, each)) if each.derived else open_part
    )
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
