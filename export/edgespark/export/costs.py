"""What each precision costs: of parts, in standard deviations; of the chain, in its scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgespark.calibration.chain import Swap
from edgespark.calibration.judge import Judge, Terms
from edgespark.calibration.sets import CalibrationSet
from edgespark.calibration.task_scores import TaskScore
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.evidence.verified import is_slower
from edgespark.runtime.manifest import Graph, Measurement, Part, Variant
from edgespark.runtime.progress import track
from edgespark.runtime.wording import aligned

ENOUGH = 64
"""Samples of each modality that a table takes; `edgespark verify --scores` takes all held out."""
CHAIN = ("modality", "task", "metric", "n", "fp32")
PARTS = ("part", "precision", "error", "share", "wider", "time", "against fp32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The scores of a variant's chain, each beside that of the bundle's widest float graphs."""

    variant: str
    scores: tuple[TaskScore, ...]


def costs(bundle: Bundle, samples: CalibrationSet) -> tuple[Cost, ...]:
    """Judge every variant narrower than float32 on the first samples of the set; empty for none.

    Float16 is emulated. The bundle must hold each part as a float graph.
    """
    if any(not _floats(part) for part in bundle.manifest.parts):
        return ()
    judge = Judge(bundle, samples, Terms(limit=ENOUGH))
    narrow = [each for each in bundle.manifest.variants if {*each.precisions.values()} != {"fp32"}]
    with track(narrow, "judge", len(narrow)) as shown:
        return tuple(
            Cost(variant=each.name, scores=judge(_swaps(bundle, each)).scores) for each in shown
        )


def _floats(part: Part) -> list[Graph]:
    return [graph for graph in part.graphs if graph.precision in ("fp32", "fp16")]


def _swaps(bundle: Bundle, variant: Variant) -> dict[str, Swap]:
    graphs = {
        (part.name, graph.precision): graph
        for part in bundle.manifest.parts
        for graph in part.graphs
    }
    return {
        name: swap(bundle, graphs[name, precision])
        for name, precision in variant.precisions.items()
    }


def swap(bundle: Bundle, graph: Graph) -> Swap:
    """Return what puts a bundle's own graph in the place of a reference; float16 is emulated."""
    return Swap(
        graph=bundle.read(graph.file),
        folder=(bundle.root / graph.file.path).parent if graph.data else None,
        data=tuple(PurePosixPath(bundle.verified(file)).name for file in graph.data),
        states=graph.states or None,
        exact=graph.precision == "fp16",
    )


def document(found: Sequence[Cost]) -> dict[str, object]:
    """Return the costs as plain values: modality → task → metric, n, values and points lost."""
    made: dict[str, dict[str, dict[str, object]]] = {}
    for cost in found:
        for each in cost.scores:
            entry = made.setdefault(each.modality, {}).setdefault(
                each.task,
                {
                    "metric": each.metric,
                    "higher_is_better": each.higher_is_better,
                    "against": each.against,
                    "set": "calibration",
                    "n": each.n,
                    "reference": each.reference,
                    "values": {},
                    "drops": {},
                    "standard_errors": {},
                },
            )
            shown = {"values": each.value, "drops": each.drop, "standard_errors": each.spread}
            for key, value in shown.items():
                column = entry[key]
                if isinstance(column, dict):
                    column[cost.variant] = value
    return dict(made)


def table(bundle: Bundle, found: Sequence[Cost]) -> str:
    """Write both tables as text: the parts, and the chain where it was judged."""
    lines = aligned([PARTS, *map(tuple, _parts(bundle))])
    if found:
        head = (*CHAIN, *(each.variant for each in found))
        told = (
            "on the first samples of the calibration set; verify --scores judges on held-out ones"
        )
        lines += ["", f"scores {told}:", *aligned([head, *_chain(found)])]
    return "\n".join(lines)


def slower(bundle: Bundle) -> Iterator[str]:
    """Tell of each variant that took longer here than the widest one, over all its parts."""
    ms = {(each.part, each.precision): each.ms for each in bundle.manifest.evidence.parity}
    took = {
        each.name: sum(ms[pair] for pair in each.precisions.items())
        for each in bundle.manifest.variants
    }
    wide = took.get("fp32")
    for name, each in took.items():
        if wide and is_slower(each, wide):
            yield (
                f"{name} is slower than fp32 on this machine: its parts took {each / wide:.2f} "
                "times as long. It may pay on the target; here it does not"
            )


def _parts(bundle: Bundle) -> Iterator[tuple[str, ...]]:
    parity = bundle.manifest.evidence.parity
    wide = {each.part: each.ms for each in parity if each.precision == "fp32"}
    for each in parity:
        if each.precision != "fp32":
            yield _row(each, wide.get(each.part))


def _row(each: Measurement, wide: float | None) -> tuple[str, ...]:
    share = "" if each.share is None else f"{100 * each.share:.1f} %"
    slow = wide is not None and is_slower(each.ms, wide)
    pace = "" if not wide else f"{each.ms / wide:.2f} times{', slower' if slow else ''}"
    return (
        each.part,
        each.precision,
        f"{each.error:.1e}",
        share,
        f"{len(each.kept)}",
        f"{each.ms:.2f} ms",
        pace,
    )


def _chain(found: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    for scores in zip(*(each.scores for each in found), strict=True):
        first = scores[0]
        metric = first.metric if first.against == "truth" else f"{first.metric} with fp32"
        yield (
            first.modality,
            first.task,
            metric,
            f"{first.n}",
            f"{first.reference:.4f}",
            *map(_told, scores),
        )


def _told(score: TaskScore) -> str:
    """Write a score, and how it moved: points of an accuracy, per cent of an error."""
    moved = 0.0 - score.drop if score.higher_is_better else score.drop
    unit = "points" if score.higher_is_better else "%"
    return f"{score.value:.4f} ({moved:+.2f} {unit})"
