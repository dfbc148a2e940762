"""Task scores on the held-out samples that a bundle carries."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.held_out import held_out
from edgespark.runtime.manifest import Head, Score
from edgespark.runtime.metrics import METRICS, forecast_tasks
from edgespark.runtime.spark import Spark, load

Track: TypeAlias = Callable[[Sequence[int], str], AbstractContextManager[Iterable[int]]]
Given: TypeAlias = dict[str, Any]  # a modality and its prepared value


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """On what the samples run; `limit` takes the first so many of each set (None: all)."""

    device: str = "auto"
    threads: int | None = None
    limit: int | None = None


def score(bundle: Bundle, track: Track, run: Run) -> tuple[Score, ...]:
    """Return the scores of each modality's tasks, per variant: means over its samples.

    Task `head`: the share (0…1) whose most probable label is the sample's. Task `forecast`: the
    error of what is predicted by the head's first metric, and `forecast_fde` by another, as FDE.
    Task `answer`: the share whose generated text is the sample's answer, both stripped. `track` is
    given the indices and a title, and gives the indices back for a block while it shows how far
    they are. Raises BundleError for samples that no call could take.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    heads = {route.modality: route.head for route in bundle.manifest.routes}
    sets = {
        each.modality: held_out(bundle, each, heads[each.modality], run.limit)
        for each in bundle.manifest.samples
    }
    for variant in bundle.manifest.variants:
        spark = load(bundle.root, device=run.device, precision=variant.name, threads=run.threads)
        for modality, data in sets.items():
            with track(range(len(data["input"])), f"{modality} {variant.name}") as indices:
                means = _means(spark, modality, data, indices)
            for task, mean in means.items():
                values.setdefault((modality, task), {})[variant.name] = mean
        spark.drop()
    return tuple(
        _score(modality, task, heads[modality], len(sets[modality]["input"]), means)
        for (modality, task), means in values.items()
    )


def _score(
    modality: str, task: str, head: Head | None, count: int, values: dict[str, float]
) -> Score:
    metrics = head.metrics if head is not None else ()
    metric = dict(zip(forecast_tasks(metrics), metrics, strict=True)).get(task)
    return Score(
        modality=modality,
        task=task,
        metric=metric or "accuracy",
        higher_is_better=metric is None,
        n=count,
        values=values,
    )


def _means(
    spark: Spark, modality: str, data: Mapping[str, Array], indices: Iterable[int]
) -> dict[str, float]:
    head, sums = spark.manifest.route(modality).head, dict[str, float]()
    for i in indices:
        with _of_the_bundle(f"sample {i} of {modality}"):
            given: Given = {**spark.prepare(**{modality: data["input"][i]})}  # once, for all tasks
            found = {} if head is None else JUDGED[head.task](spark, head, given, data, i)
            answer = spark.generate(str(data["question"][i]), temperature=0.0, **given)
        found["answer"] = float(answer == str(data["answer"][i]).strip())
        sums = {task: sums.get(task, 0.0) + value for task, value in found.items()}
    return {task: total / len(data["input"]) for task, total in sums.items()}


def _classified(
    spark: Spark, head: Head, given: Given, data: Mapping[str, Array], i: int
) -> dict[str, float]:
    best = next(iter(spark.classify(**given)))
    return {"head": float(best == head.labels[int(data["label"][i])])}


def _predicted(
    spark: Spark, head: Head, given: Given, data: Mapping[str, Array], i: int
) -> dict[str, float]:
    prediction, target = spark.predict(**given), data["target"][i]
    if prediction.shape != target.shape:
        raise UsageError(f"target {target.shape} is no prediction {prediction.shape}")
    tasks = zip(forecast_tasks(head.metrics), head.metrics, strict=True)
    return {task: METRICS[metric](prediction, target) for task, metric in tasks}


JUDGED = {"classification": _classified, "regression": _predicted}
"""The values of one sample by its head's tasks."""


@contextmanager
def _of_the_bundle(where: str) -> Iterator[None]:
    """Turn what would be wrong use by a caller into a fault of the bundle, which asked for it."""
    try:
        yield
    except UsageError as error:
        raise BundleError(where, [str(error)]) from error
