"""Several chains on the same fresh samples of allspark-tiny's world, sample by sample.

A chain is a variant of a bundle. Each stands beside the float32 chain of one bundle, the base, so
that differences are paired: what is hard about a sample is hard for both.
"""

import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from edgespark.calibration.chain import Swap, opened, passed
from edgespark.calibration.outcomes import Asked, Outcome, Tap, apart, outcome
from edgespark.calibration.sets import CalibrationSet, Rows, write_set
from edgespark.calibration.task_scores import POINTS, Trial, Truth, task_scores
from edgespark.engines.int8 import Int8
from edgespark.export.costs import swap
from edgespark.export.exporter import export
from edgespark.export.models.tiny import TINY
from edgespark.export.plan import Plan
from edgespark.export.precisions import LIMITS
from edgespark.export.recipes import recipe
from edgespark.export.recipes.allspark import samples
from edgespark.export.worlds.dataset import make
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import CheckError, EdgesparkError
from edgespark.runtime.manifest import Precision, Route
from edgespark.runtime.progress import track
from edgespark.runtime.stats import Record

STREAM = 5
"""Of the world: 1 is trained on, 2 judged on then, 3 lies in bundles, and 4 is calibrated on."""
PROCESSES = 2
NAIVE = Int8(method="minmax", smooth=False, correct=False)
FLOAT: tuple[Precision, ...] = ("fp32",)
INTEGER: Precision = "int8"
FAR = 1e3
"""Standard deviations that one value of a graph may be off: no graph is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A variant of a bundle, under a name of its own."""

    name: str
    bundle: Path
    variant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One task's score on a chain, and on the base's; `values` are those of single samples."""

    metric: str
    higher_is_better: bool
    n: int
    reference: float
    value: float
    values: tuple[float, ...] = field(repr=False)
    references: tuple[float, ...] = field(repr=False)

    def lost(self) -> float:
        """Return what it scores below the base: points, or per cent of an error."""
        return self._told(self.references, self.values)

    def doubt(self) -> float:
        """Return the standard error of `lost`."""
        return self._doubt(self.references, self.values)

    def below(self, other: "Task") -> tuple[float, float]:
        """Return what it scores below another chain, as `lost`, with its standard error."""
        return self._told(other.values, self.values), self._doubt(other.values, self.values)

    @property
    def unit(self) -> float:
        """One point, or one per cent of the base's error."""
        return -POINTS if self.higher_is_better else POINTS / self.reference

    def _told(self, one: Sequence[float], other: Sequence[float]) -> float:
        return float(np.mean(np.subtract(other, one))) * self.unit

    def _doubt(self, one: Sequence[float], other: Sequence[float]) -> float:
        spread = float(np.std(np.subtract(other, one), ddof=1)) if self.n > 1 else math.nan
        return spread / math.sqrt(self.n) * abs(self.unit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """How a chain did on a modality's samples.

    `error` is the end-to-end error (`edgespark.calibration.outcomes.apart`). `agreement` with the
    base is per task the share of equal answers; of forecasts it is how far they lie apart, in
    standard deviations of the base's.
    """

    name: str
    modality: str
    tasks: dict[str, Task]
    error: float
    agreement: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One modality, for one process."""

    modality: str
    folder: Path
    base: Path
    contenders: tuple[Contender, ...]


def fresh(folder: Path, count: int, modalities: Sequence[str]) -> CalibrationSet:
    """Write samples that nothing was trained, judged or calibrated on; OutputError as `write_set`.

    The samples are the first `count` of the stream, whatever the modalities.
    """
    drawn = make(STREAM, 0, count)
    for modality in modalities:
        place = folder / modality
        place.mkdir(parents=True)
        for name, column in samples(TINY, drawn, modality).columns().items():
            np.save(place / f"{name}.npy", column, allow_pickle=False)
    return write_set(folder, {each: Rows(folder=each) for each in modalities})


def exported(weights: Path | None, out: Path, modalities: Sequence[str], plan: Plan) -> Bundle:
    """Export allspark-tiny at fp32, and with a calibration set at int8, however far that is off.

    The exporter refuses a part that is off by more than `LIMITS` says; here its scores are wanted.
    """
    blueprint = recipe(TINY.name).blueprint(TINY.name, weights, tuple(modalities))
    asked = FLOAT if plan.calibration is None else (*FLOAT, INTEGER)
    with patch.dict(LIMITS, int8=FAR):
        return export(blueprint, out, replace=False, precisions=asked, plan=plan)


def refused(bundle: Bundle) -> dict[str, float]:
    """Return the parts that the exporter would have refused, with how far they are off."""
    return {
        each.part: each.error
        for each in bundle.manifest.evidence.parity
        if each.error > LIMITS[each.precision]
    }


def judge(
    base: Path, contenders: Sequence[Contender], folder: Path, modalities: Sequence[str]
) -> list[Judged]:
    """Judge every contender on every modality of the set in the folder, in two processes."""
    jobs = [
        Job(modality=each, folder=folder, base=base, contenders=tuple(contenders))
        for each in modalities
    ]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(PROCESSES, mp_context=context) as pool,
        track(pool.map(judged, jobs), "judge", len(jobs)) as shown,
    ):
        return [each for found in shown for each in found]


def judged(job: Job) -> list[Judged]:
    """Judge every contender on one modality; CheckError tells what could not be read or run."""
    try:
        return _all_judged(job)
    except EdgesparkError as error:  # not every one of them can be sent to another process
        raise CheckError(str(error)) from None


def _all_judged(job: Job) -> list[Judged]:
    base = Bundle.open(job.base)
    drawn = CalibrationSet.open(job.folder)
    wanted, truths = _ran(base, {}, job.modality, drawn)
    route = base.manifest.route(job.modality)
    return [
        _judged(
            each,
            route,
            Trial(
                route=route,
                made=_ran(base, _swaps(each, base, route), job.modality, drawn)[0],
                wanted=wanted,
                truths=truths,
            ),
        )
        for each in job.contenders
    ]


def _judged(contender: Contender, route: Route, trial: Trial) -> Judged:
    untold = [Truth(label=None, target=None, answer=None, anchor=t.anchor) for t in trial.truths]
    blind = Trial(route=route, made=trial.made, wanted=trial.wanted, truths=untold)
    return Judged(
        name=contender.name,
        modality=route.modality,
        tasks=tasks(trial),
        error=apart(trial.made, trial.wanted),
        agreement={each.task: each.value for each in task_scores(blind)},
    )


def tasks(trial: Trial) -> dict[str, Task]:
    """Return each task's scores on both chains, sample by sample."""
    single = [{each.task: each for each in task_scores(one)} for one in _singles(trial)]
    return {
        each.task: Task(
            metric=each.metric,
            higher_is_better=each.higher_is_better,
            n=each.n,
            reference=each.reference,
            value=each.value,
            values=tuple(one[each.task].value for one in single),
            references=tuple(one[each.task].reference for one in single),
        )
        for each in task_scores(trial)
    }


def _singles(trial: Trial) -> Iterator[Trial]:
    for made, wanted, truth in zip(trial.made, trial.wanted, trial.truths, strict=True):
        yield Trial(route=trial.route, made=[made], wanted=[wanted], truths=[truth])


def _ran(
    base: Bundle, swaps: dict[str, Swap], modality: str, drawn: CalibrationSet
) -> tuple[list[Outcome], list[Truth]]:
    """Run the samples on the base with these graphs in place of its own."""
    tap = Tap(base.manifest.language.decoder)
    model = opened(base, swaps, opens=tap.open, threads=1)
    route, tokens = base.manifest.route(modality), base.manifest.language.generation.max_tokens
    outcomes, truths = [], []
    for each in drawn.samples(modality):
        ready = model.chain.prepared(modality, each.value, Record())
        what = Asked(route=route, ready=ready, question=each.question, tokens=tokens)
        outcomes.append(outcome(model, tap, what))
        model.chain.clear()
        truths.append(
            Truth(label=each.label, target=each.target, answer=each.answer, anchor=ready.anchor)
        )
    model.drop(None)
    return outcomes, truths


def _swaps(contender: Contender, base: Bundle, route: Route) -> dict[str, Swap]:
    """Return the contender's graphs of what a modality passes."""
    bundle = Bundle.open(contender.bundle)
    (variant,) = (each for each in bundle.manifest.variants if each.name == contender.variant)
    graphs = {
        (part.name, graph.precision): graph
        for part in bundle.manifest.parts
        for graph in part.graphs
    }
    return {
        name: swap(bundle, graphs[name, variant.precisions[name]])
        for name in passed(base.manifest, route)
    }


def document(found: Sequence[Judged]) -> dict[str, object]:
    """Return what was found as plain values: modality → variant → tasks, error and agreement."""
    made: dict[str, dict[str, object]] = {}
    for each in found:
        made.setdefault(each.modality, {})[each.name] = {
            "error": each.error,
            "agreement": each.agreement,
            "tasks": {name: _plain(task) for name, task in each.tasks.items()},
        }
    return dict(made)


def _plain(task: Task) -> dict[str, object]:
    return {
        "metric": task.metric,
        "unit": "points" if task.higher_is_better else "per cent",
        "n": task.n,
        "fp32": task.reference,
        "value": task.value,
        "lost": round(task.lost(), 4),
        "standard_error": round(task.doubt(), 4),
    }
