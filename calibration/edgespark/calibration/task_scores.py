"""The scores of one modality's tasks, on two chains side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.outcomes import Outcome, distance
from edgespark.runtime.errors import InputError
from edgespark.runtime.forecasts import forecast
from edgespark.runtime.manifest import Head, Metric, Route
from edgespark.runtime.metrics import METRICS, forecast_tasks

POINTS = 100.0
ACCURACY = "accuracy"
RMS = "RMS"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScore:
    """One task's score on a chain, `value`, beside that of the bundle's own graphs, `reference`.

    Tasks and metrics are those of `edgespark.runtime.scores`. `against` says what was right: the
    set's labels, targets or answers ("truth"), or where it has none what the own graphs gave
    ("fp32"): accuracy is then agreement, and "RMS" the root mean square difference of the head's
    scores in standard deviations of theirs. `spread` is the standard error of value - reference,
    of paired samples.
    """

    modality: str
    task: str
    metric: str
    higher_is_better: bool
    n: int
    against: Literal["truth", "fp32"]
    value: float
    reference: float
    spread: float = 0.0

    @property
    def drop(self) -> float:
        """What is lost: points of an accuracy, per cent of an error; below 0 where it is better.

        Of an RMS per cent of a standard deviation.
        """
        if self.higher_is_better:
            return POINTS * (self.reference - self.value)
        lost = self.value - self.reference
        if lost == 0 or self.metric == RMS:
            return POINTS * lost
        return POINTS * lost / self.reference if self.reference else inf


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Truth:
    """What is right about a sample, as far as its set says, and what its forecast starts from."""

    label: int | None
    target: NDArray[np.generic] | None
    answer: str | None
    anchor: NDArray[np.float64] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One modality's samples: what a chain made of them, what the own graphs make, what is right.

    All three are as long.
    """

    route: Route
    made: Sequence[Outcome]
    wanted: Sequence[Outcome]
    truths: Sequence[Truth]


def task_scores(trial: Trial) -> Iterator[TaskScore]:
    """Give the score of each of the modality's tasks: its head's, if it has one, then the answer's.

    InputError for a label that is no index of the head's, or a target of another shape.
    """
    head = trial.route.head
    if head is not None:
        yield from HEADS[head.task](trial, head)
    rights = [truth.answer for truth in trial.truths]
    yield _accuracy(
        trial, "answer", [None if right is None else right.strip() for right in rights], _answer
    )


def _classified(trial: Trial, head: Head) -> Iterator[TaskScore]:
    labels = [truth.label for truth in trial.truths]
    known = len(head.labels)
    if wrong := [each for each in labels if each is not None and not 0 <= each < known]:
        raise InputError(
            f"{trial.route.modality}: the set has label {wrong[0]}; the head knows 0 to {known - 1}"
        )
    yield _accuracy(trial, "head", labels, _best)


def _predicted(trial: Trial, head: Head) -> Iterator[TaskScore]:
    if not head.metrics or any(truth.target is None for truth in trial.truths):
        value = distance(_scores(trial.made), _scores(trial.wanted)) if _sound(trial) else inf
        yield _score(trial, "forecast", RMS, ([value], [0.0]), truth=False)
        return
    for task, metric in zip(forecast_tasks(head.metrics), head.metrics, strict=True):
        made, wanted = (_errors(trial, head, metric, each) for each in (trial.made, trial.wanted))
        yield _score(trial, task, metric, (made, wanted), truth=True)


HEADS: dict[str, Callable[[Trial, Head], Iterator[TaskScore]]] = {
    "classification": _classified,
    "regression": _predicted,
}


def _accuracy(
    trial: Trial, task: str, rights: Sequence[object], said: Callable[[Outcome], object]
) -> TaskScore:
    """Score what was said by what is right, where every sample has that, else by agreement."""
    truth = all(right is not None for right in rights)
    asked = rights if truth else [said(each) for each in trial.wanted]
    made, wanted = (
        [_is_right(said(each), right) for each, right in zip(outcomes, asked, strict=True)]
        for outcomes in (trial.made, trial.wanted)
    )
    return _score(trial, task, ACCURACY, (made, wanted), truth=truth)


def _is_right(said: object, right: object) -> float:
    """Return 1.0 for what is right; a sample that failed says nothing, which is never right."""
    return float(said is not None and said == right)


def _score(
    trial: Trial, task: str, metric: str, values: tuple[list[float], list[float]], *, truth: bool
) -> TaskScore:
    value, reference = (float(np.mean(each)) for each in values)
    return TaskScore(
        modality=trial.route.modality,
        task=task,
        metric=metric,
        higher_is_better=metric == ACCURACY,
        n=len(trial.made),
        against="truth" if truth else "fp32",
        value=value,
        reference=reference,
        spread=_spread(*values),
    )


def _spread(made: list[float], wanted: list[float]) -> float:
    """Return the standard error of the mean difference; 0 where nothing can be told of it."""
    if inf in made or len(made) == 1:
        return 0.0
    return float(np.std(np.subtract(made, wanted), ddof=1) / np.sqrt(len(made)))


def _errors(trial: Trial, head: Head, metric: Metric, outcomes: Sequence[Outcome]) -> list[float]:
    """Return the error of each forecast; infinite where one is missing."""
    found = []
    for made, truth in zip(outcomes, trial.truths, strict=True):
        if made.scores is None or truth.target is None:
            found.append(inf)
            continue
        prediction = forecast(head, made.scores, truth.anchor)
        if prediction.shape != truth.target.shape:
            raise InputError(
                f"{trial.route.modality}: the set has a target of shape "
                f"{list(truth.target.shape)}; the forecast has {list(prediction.shape)}"
            )
        found.append(METRICS[metric](prediction, truth.target))
    return found


def _sound(trial: Trial) -> bool:
    return not any(each.failed for each in trial.made)


def _scores(outcomes: Sequence[Outcome]) -> NDArray[np.generic]:
    return np.stack([each.scores for each in outcomes if each.scores is not None])


def _best(made: Outcome) -> int | None:
    return None if made.scores is None else int(made.scores.argmax())


def _answer(made: Outcome) -> str | None:
    return None if made.failed else made.answer
