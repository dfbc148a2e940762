"""What a variant makes of held-out samples: each task's value, and what it said."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.manifest import Head
from edgespark.runtime.metrics import METRICS, forecast_tasks
from edgespark.runtime.spark import Spark

Given: TypeAlias = dict[str, Any]  # a modality and its prepared value

KEPT = 1 << 28  # bytes of a modality's prepared samples that are kept for the next variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a variant made of one sample, by task: its value, and its words where it has any."""

    values: dict[str, float]
    said: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A modality's held-out samples, the head that they judge, and what was prepared of them."""

    modality: str
    head: Head | None
    data: Mapping[str, Array]
    ready: dict[int, Given] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.data["input"])

    def prepared(self, spark: Spark, i: int) -> Given:
        """Return sample i as every variant takes it; it is kept where all of them may be."""
        if i in self.ready:
            return self.ready[i]
        made: Given = {**spark.prepare(**{self.modality: self.data["input"][i]})}
        size = sum(array.nbytes for array in made[self.modality].arrays.values())
        if size * self.count <= KEPT:
            self.ready[i] = made
        return made


def outcome(spark: Spark, held: Held, i: int) -> Outcome:
    """Return what the variant makes of sample i: its head's tasks, and `answer`, greedily.

    BundleError for a sample that no call could take.
    """
    head, data = held.head, held.data
    with _of_the_bundle(f"sample {i} of {held.modality}"):
        given = held.prepared(spark, i)  # once, for all tasks
        judge = JUDGED[head.task] if head is not None else _nothing
        found = judge(spark, held, given, i)
        answer = spark.generate(str(data["question"][i]), temperature=0.0, **given)
    right = float(answer == str(data["answer"][i]).strip())
    return Outcome(values={**found.values, "answer": right}, said={**found.said, "answer": answer})


def _nothing(_spark: Spark, _held: Held, _given: Given, _i: int) -> Outcome:
    return Outcome(values={}, said={})


def _classified(spark: Spark, held: Held, given: Given, i: int) -> Outcome:
    best = next(iter(spark.classify(**given)))
    labels = held.head.labels if held.head is not None else ()
    right = float(best == labels[int(held.data["label"][i])])
    return Outcome(values={"head": right}, said={"head": best})


def _predicted(spark: Spark, held: Held, given: Given, i: int) -> Outcome:
    prediction, target = spark.predict(**given), held.data["target"][i]
    if prediction.shape != target.shape:
        raise UsageError(f"target {target.shape} is no prediction {prediction.shape}")
    metrics = held.head.metrics if held.head is not None else ()
    tasks = zip(forecast_tasks(metrics), metrics, strict=True)
    return Outcome(
        values={task: METRICS[each](prediction, target) for task, each in tasks}, said={}
    )


JUDGED = {"classification": _classified, "regression": _predicted}
"""The values of one sample by its head's tasks."""


@contextmanager
def _of_the_bundle(where: str) -> Iterator[None]:
    """Turn what would be wrong use by a caller into a fault of the bundle, which asked for it."""
    try:
        yield
    except UsageError as error:
        raise BundleError(where, [str(error)]) from error
