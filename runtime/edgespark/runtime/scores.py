"""Task scores on the held-out samples that a bundle carries, of all variants on the same ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

from edgespark.runtime.backends import backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import check_packages, device_named
from edgespark.runtime.errors import DeviceError
from edgespark.runtime.held_out import held_out
from edgespark.runtime.manifest import Manifest, Score, Variant
from edgespark.runtime.metrics import forecast_tasks
from edgespark.runtime.model import Model, Setup
from edgespark.runtime.outcomes import Held, Outcome, outcome
from edgespark.runtime.spark import Spark

Track: TypeAlias = Callable[[Sequence[int], str], AbstractContextManager[Iterable[int]]]
Outcomes: TypeAlias = Mapping[str, Sequence[Outcome]]  # of one modality, by variant

TOGETHER = 1 << 30  # bytes of graphs up to which all variants are loaded at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """On what the samples run; `limit` takes the first so many of each set (None: all)."""

    device: str = "auto"
    threads: int | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The share (0…1) of a task's samples of which each variant says what the reference says.

    Task `head`: the same most probable label. Task `answer`: the same text.
    """

    modality: str
    task: str
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What all variants made of the same samples; `reference` is the one they stand beside.

    `lowered` names, by variant, the parts that ran a graph derived for the device.
    """

    reference: str
    scores: tuple[Score, ...]
    agreement: tuple[Agreement, ...]
    lowered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def reference_of(manifest: Manifest) -> str:
    """Return the variant that others are compared with: the one all in fp32, else the first."""
    wide = [each for each in manifest.variants if set(each.precisions.values()) == {"fp32"}]
    return (wide or manifest.variants)[0].name


def judged(bundle: Bundle, track: Track, run: Run) -> Judged:
    """Return the scores of each modality's tasks, per variant, and how far the variants agree.

    Scores are means over the samples. Task `head`: the share (0…1) whose most probable label is the
    sample's. Task `forecast`: the error of what is predicted by the head's first metric, and
    `forecast_fde` by another, as FDE. Task `answer`: the share whose generated text is the sample's
    answer, both stripped. Graphs run as `load` runs them, derived ones where they lie, but that a
    precision that the device widens is emulated by the portable ones. `track` is given the indices
    and a title, and gives the indices back for a block while it shows how far they are.
    Raises BundleError for samples that no call could take, DeviceError that names the sample where
    a variant's arithmetic overflows on it.
    """
    heads = {route.modality: route.head for route in bundle.manifest.routes}
    sets = {
        each.modality: Held(
            modality=each.modality,
            head=heads[each.modality],
            data=held_out(bundle, each, heads[each.modality], run.limit),
        )
        for each in bundle.manifest.samples
    }
    sparks = {each.name: _spark(bundle, each, run) for each in bundle.manifest.variants}
    found: dict[str, dict[str, list[Outcome]]] = {modality: {} for modality in sets}
    lowered: dict[str, tuple[str, ...]] = {}
    for held, variant in _turns(bundle, sets.values(), sparks):
        with track(range(held.count), f"{held.modality} {variant}") as indices:
            made = [_outcome(sparks[variant], held, i, variant) for i in indices]
        found[held.modality][variant] = made
        lowered[variant] = sparks[variant].stats.lowered
    reference = reference_of(bundle.manifest)
    return Judged(
        reference=reference,
        scores=tuple(s for name, held in sets.items() for s in _scores(held, found[name])),
        agreement=tuple(each for name in sets for each in _agreement(name, found[name], reference)),
        lowered={variant: parts for variant, parts in lowered.items() if parts},
    )


def _outcome(spark: Spark, held: Held, index: int, variant: str) -> Outcome:
    try:
        return outcome(spark, held, index)
    except DeviceError as error:
        where = f"{variant}, held-out sample {index} of {held.modality}"
        raise DeviceError(f"{where}: {error}") from error


def _spark(bundle: Bundle, variant: Variant, run: Run) -> Spark:
    device = device_named(run.device)
    check_packages()
    setup = Setup(device=device, variant=variant, threads=run.threads, emulated=True, lowered=True)
    return Spark(Model(bundle, setup, backend(device.backend).open_session), setup)


def _turns(
    bundle: Bundle, sets: Iterable[Held], sparks: Mapping[str, Spark]
) -> Iterator[tuple[Held, str]]:
    """Give each set with each variant: where all fit together a set at a time, else a variant."""
    graphs = [graph for part in bundle.manifest.parts for graph in part.graphs]
    size = sum(file.bytes for graph in graphs for file in (graph.file, *graph.data))
    if size <= TOGETHER:
        for held in sets:
            yield from ((held, name) for name in sparks)
            held.ready.clear()
    for name, spark in sparks.items():
        for held in sets if size > TOGETHER else ():
            yield held, name
            held.ready.clear()
        spark.drop()


def _scores(held: Held, found: Outcomes) -> Iterator[Score]:
    """Give the mean of each task, in its metric."""
    metrics = held.head.metrics if held.head is not None else ()
    metric = dict(zip(forecast_tasks(metrics), metrics, strict=True))
    first = next(iter(found.values()))[0]
    for task in first.values:
        yield Score(
            modality=held.modality,
            task=task,
            metric=metric.get(task, "accuracy"),
            higher_is_better=task not in metric,
            n=held.count,
            values={
                name: sum(each.values[task] for each in made) / len(made)
                for name, made in found.items()
            },
        )


def _agreement(modality: str, found: Outcomes, reference: str) -> Iterator[Agreement]:
    right = found[reference]
    for task in right[0].said:
        yield Agreement(
            modality=modality,
            task=task,
            values={
                name: sum(a.said[task] == b.said[task] for a, b in zip(made, right, strict=True))
                / len(right)
                for name, made in found.items()
            },
        )
