r"""What each precision costs in score, beside naive INT8: every variant on the same fresh samples.

    python -m benchmarks.precision_scores build/full build/naive \
        --calibration build/calibration --json docs/results/precision-scores.json

The second bundle is made first where it is not there yet: min-max ranges, no smoothing, no bias
correction, no mix. The exporter refuses a part that is off by more than a standard deviation
anywhere; here it is let through, and named.

Samples are of a stream of the world that nothing was trained, judged or calibrated on. Differences
from fp32 are of single samples of the same input, and stand with their standard error: "lost" in
points of accuracy, or per cent of an error metric. FP16 is emulated: every fp16 tensor is rounded.

Work is the multiply-adds of MatMul, Gemm and Conv, attention's own products among them, of one
sample through each encoder, bridge and head once. Weights of the LLM are those of decoder and
embedder. Nothing is timed. The last line is one JSON document; the exit code is 5 where a limit is
missed: 0.2 points for fp16, 1 point for int8 (per cent of an error metric: 1 for both), 90 % of the
work, 95 % of the weights, or naive INT8 that is nowhere worse than the shipped one.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import onnx

from benchmarks import paired_scores
from benchmarks.document import destination, publish, stamp
from benchmarks.paired_scores import (
    STREAM,
    Contender,
    Judged,
    Task,
    document,
    exported,
    fresh,
    judge,
    refused,
)
from edgespark.calibration.sets import CalibrationSet
from edgespark.engines.passes.work import multiply_adds, works
from edgespark.export.plan import Plan
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, EdgesparkError, UsageError
from edgespark.runtime.manifest import Part
from edgespark.runtime.options import check_count
from edgespark.runtime.wording import aligned

MOST = 100_000  # samples
POINTS = {"fp16": 0.2, "int8": 1.0}
PERCENT = 1.0
SENSING = ("encoder", "bridge", "head")
WORK, WEIGHTS = 0.9, 0.95
SURE = 2.0  # standard errors
SHIPPED, NAIVE = "int8", "int8 naive"


def contenders(shipped: Bundle, naive: Bundle) -> tuple[Contender, ...]:
    """Return all variants but fp32; BundleError where the bundles are of different models."""
    own, other = _wide(shipped), _wide(naive)
    if changed := sorted(name for name in own | other if own.get(name) != other.get(name)):
        told = f"its fp32 graphs are others than {shipped.root} has: {', '.join(changed)}"
        raise BundleError(str(naive.root), [told])
    narrow = [each.name for each in shipped.manifest.variants if each.name != "fp32"]
    return (
        *(Contender(name=each, bundle=shipped.root, variant=each) for each in narrow),
        Contender(name=NAIVE, bundle=naive.root, variant="int8"),
    )


def _wide(bundle: Bundle) -> dict[str, str]:
    return {
        part.name: graph.file.sha256
        for part in bundle.manifest.parts
        for graph in part.graphs
        if graph.precision == "fp32"
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Which share, 0…1, is in INT8: of the work in all and by role, and of the LLM's weights.

    `parts` has for each the share, and the multiply-adds or weights that it is of.
    """

    work: float
    work_by_role: dict[str, float]
    weights: float
    parts: dict[str, tuple[float, int]]


def shares(bundle: Bundle) -> Shares:
    """Return which share of the work, and of the LLM's weights, is in INT8, by part and in all."""
    done = {
        each.part: each.share or 0.0
        for each in bundle.manifest.evidence.parity
        if each.precision == "int8"
    }
    roles = {each.name: each.role for each in bundle.manifest.parts}
    sensed = {
        each.name: _work(bundle, each) for each in bundle.manifest.parts if each.role in SENSING
    }
    told = {
        each.name: _weights(bundle, each)
        for each in bundle.manifest.parts
        if each.role not in SENSING
    }
    return Shares(
        work=_share(sensed, done),
        work_by_role={
            role: _share({name: n for name, n in sensed.items() if roles[name] == role}, done)
            for role in SENSING
        },
        weights=_share(told, done),
        parts={name: (done[name], amount) for name, amount in (sensed | told).items()},
    )


def _share(amounts: Mapping[str, int], done: Mapping[str, float]) -> float:
    return sum(done[name] * each for name, each in amounts.items()) / sum(amounts.values())


def _work(bundle: Bundle, part: Part) -> int:
    """Count the multiply-adds of one sample, with the sizes that calibration saw."""
    graph = _graph(bundle, part)
    if part.calibration is None:
        raise BundleError(str(bundle.root), [f"{part.name} was not calibrated"])
    seen = json.loads(bundle.read(part.calibration))
    sizes = {each.name: tuple(each.dims) for each in graph.initializer}
    sizes |= {name: tuple(each["shape"]) for name, each in seen["tensors"].items()}
    return sum(multiply_adds(each, sizes) for each in works(graph))


def _weights(bundle: Bundle, part: Part) -> int:
    return sum(prod(each.dims) for each in _graph(bundle, part).initializer if len(each.dims) > 1)


def _graph(bundle: Bundle, part: Part) -> onnx.GraphProto:
    (graph,) = (each for each in part.graphs if each.precision == "fp32")
    return onnx.load_from_string(bundle.read(graph.file)).graph


def limit(name: str, task: Task) -> float:
    """Return by how much a task's score may move in a variant."""
    return POINTS[name] if task.higher_is_better else PERCENT


def missed(found: Sequence[Judged]) -> Iterator[str]:
    """Name each score that moves further than it may."""
    for each in found:
        for name, task in each.tasks.items():
            if each.name in POINTS and abs(task.lost()) > limit(each.name, task):
                yield (
                    f"{each.name}: {each.modality} {name} loses {task.lost():+.2f} ± "
                    f"{task.doubt():.2f}, may {limit(each.name, task):g}"
                )


def worse(found: Sequence[Judged]) -> Iterator[dict[str, object]]:
    """Give the tasks in which the naive chain is surely worse than the shipped one."""
    tasks = {(each.name, each.modality): each.tasks for each in found}
    for (name, modality), own in tasks.items():
        if name != SHIPPED:
            continue
        for task, ours in own.items():
            lost, doubt = tasks[NAIVE, modality][task].below(ours)
            if lost > SURE * doubt:
                yield {"modality": modality, "task": task, "lost": lost, "standard_error": doubt}


def rows(found: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    """Write the scores: a row per task, and in it each chain's value, and what is lost."""
    names = list(dict.fromkeys(each.name for each in found))
    yield ("modality", "task", "metric", "n", "fp32", *names)
    chains: dict[str, dict[str, Judged]] = {}
    for each in found:
        chains.setdefault(each.modality, {})[each.name] = each
    for modality, there in chains.items():
        for name, task in next(iter(there.values())).tasks.items():
            cells = (_cell(there[chain].tasks[name]) for chain in names)
            yield (modality, name, task.metric, f"{task.n}", f"{task.reference:.4f}", *cells)
        yield (modality, "end to end", "error", "", "", *(f"{there[n].error:.4f}" for n in names))


def _cell(task: Task) -> str:
    unit = "" if task.higher_is_better else " %"
    return f"{task.value:.4f} ({-task.lost():+.2f} ± {task.doubt():.2f}{unit})"


def summary(found: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Return for each chain the most and the mean that it loses, and its end-to-end errors."""
    made = {}
    for name in dict.fromkeys(each.name for each in found):
        own = [each for each in found if each.name == name]
        tasks = [task for each in own for task in each.tasks.values()]
        made[name] = {
            "most_lost": max(task.lost() for task in tasks),
            "most_moved": max(abs(task.lost()) for task in tasks),
            "mean_lost": sum(task.lost() for task in tasks) / len(tasks),
            "mean_error": sum(each.error for each in own) / len(own),
            "greatest_error": max(each.error for each in own),
        }
    return made


def run(given: argparse.Namespace) -> int:
    """Judge all variants and print what was found; 5 where a limit is missed."""
    check_count("--count", given.count, MOST)
    shipped, naive = Bundle.open(given.shipped), _naive(given)
    asked = contenders(shipped, naive)
    modalities = [each.modality for each in shipped.manifest.routes]
    with tempfile.TemporaryDirectory() as temporary:
        fresh(Path(temporary), given.count, modalities)
        found = judge(shipped.root, asked, Path(temporary), modalities)
    inside = {SHIPPED: shares(shipped), NAIVE: shares(naive)}
    over, naive_worse = list(missed(found)), list(worse(found))
    print("\n".join(aligned(rows(found))))
    print("\n".join(["", *(f"{name}: {each}" for name, each in summary(found).items())]))
    for name, each in inside.items():
        print(f"{name}: {each.work:.2%} of the work, {each.weights:.2%} of the LLM's weights")
    print("\n".join([*over, *(f"naive is worse: {each}" for each in naive_worse)]))
    report = {
        "shipped": shipped.manifest.sha256,
        "naive": naive.manifest.sha256,
        "stream": STREAM,
        "count": given.count,
        "summary": summary(found),
        "missed": over,
        "naive_worse": naive_worse,
        "shares": {name: asdict(each) for name, each in inside.items()},
        "beyond_the_exporter": {SHIPPED: refused(shipped), NAIVE: refused(naive)},
        "modalities": document(found),
        **stamp(),
    }
    failed = publish(report, given.json)
    held = inside[SHIPPED].work >= WORK and inside[SHIPPED].weights >= WEIGHTS
    return failed if held and naive_worse and not over else 5


def _naive(given: argparse.Namespace) -> Bundle:
    if given.naive.exists():
        return Bundle.open(given.naive)
    if given.calibration is None:
        raise UsageError(f"{given.naive}: is not there; --calibration DIR makes it")
    samples = CalibrationSet.open(given.calibration)
    plan = Plan(calibration=samples, how=paired_scores.NAIVE)
    return exported(None, given.naive, (), plan)


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shipped", type=Path, help="a bundle of allspark-tiny with fp32 and int8")
    parser.add_argument("naive", type=Path, help="one of the same weights, int8 made naively")
    parser.add_argument("--calibration", type=Path, help="a calibration set, to make it with")
    parser.add_argument("--count", type=int, default=200, help="samples of each modality")
    parser.add_argument("--json", type=destination, help="where to keep that document as well")
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
