r"""INT8 of a model in which one channel in front of each product is a hundred times as large.

    python -m benchmarks.planted_outlier build/calibration \
        --json docs/results/planted-outlier.json

Of the shipped weights, each norm before a linear layer (in the bridges and in encoders of pre-norm
blocks; in the CNN of sar each batch norm before a convolution) gets one channel scaled by 100, the
one of its greatest weight, and what reads it is divided by 100 there: the function is the same. The
changed model is exported three times: naive (min-max ranges, no smoothing, no bias correction), as
shipped, and with a budget. All are judged on the same fresh samples of the world, beside the
unchanged weights at fp32; so is the changed model's own fp32, which must score the same.

The exporter refuses a part that is off by more than a standard deviation anywhere; here it is let
through, and named. "Lost" is in points of accuracy; agreement is with fp32; the error is end to
end, in standard deviations. Nothing is timed. The last line is one JSON document; the exit code is
5 where the function changed, or where the shipped method or the one with a budget loses more than a
point.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save
from torch import Tensor

from benchmarks.document import destination, publish, stamp
from benchmarks.paired_scores import (
    NAIVE,
    STREAM,
    Contender,
    Judged,
    document,
    exported,
    fresh,
    judge,
    refused,
)
from edgespark.calibration.sets import CalibrationSet
from edgespark.export.models.tiny import TINY
from edgespark.export.plan import Plan
from edgespark.export.weights import CARD, MODEL, SCORES, SHIPPED, TOKENIZER, checkpoint
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import CheckError, EdgesparkError
from edgespark.runtime.options import check_count
from edgespark.runtime.wording import aligned

SCALE = 100.0
LIMIT = 1.0  # points
MOST = 100_000  # samples
READERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # stems of norms, norm, what reads it
    (r"encoders\.\w+\.(?:blocks\.)+\d+", "norm1", ("attn.q_proj", "attn.k_proj", "attn.v_proj")),
    (r"encoders\.\w+\.(?:blocks\.)+\d+", "norm1", ("attn.qkv",)),
    (r"encoders\.\w+\.(?:blocks\.)+\d+", "norm2", ("mlp.fc1",)),
    (r"encoders\.\w+\.stages\.\d+", "residual.1", ("residual.3",)),
    (r"bridges\.\w+\.layers\.\d+", "0.norm_media", ("0.to_kv",)),
    (r"bridges\.\w+\.layers\.\d+", "0.norm_latents", ("0.to_q",)),
    (r"bridges\.\w+\.layers\.\d+", "1.0", ("1.1",)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlier:
    """One channel to scale: what gives it, and the layers that alone read it."""

    norm: str
    readers: tuple[str, ...]
    channel: int


def outliers(tensors: Mapping[str, Tensor], modalities: Sequence[str]) -> Iterator[Outlier]:
    """Find a channel for each norm of these modalities' encoders and bridges."""
    for pattern, norm, readers in READERS:
        whole = re.compile(rf"({pattern})\.{re.escape(norm)}\.weight")
        for name, weight in tensors.items():
            found = whole.fullmatch(name)
            if found is None or name.split(".")[1] not in modalities:
                continue
            read = tuple(f"{found[1]}.{each}" for each in readers)
            if all(f"{each}.weight" in tensors for each in read):
                yield Outlier(
                    norm=f"{found[1]}.{norm}", readers=read, channel=int(weight.abs().argmax())
                )


def planted(tensors: Mapping[str, Tensor], found: Sequence[Outlier]) -> dict[str, Tensor]:
    """Scale the channels, and fold the inverse into what reads them: float32, the same function."""
    made = {name: each.clone() for name, each in tensors.items()}
    for each in found:
        for vector in ("weight", "bias"):
            made[f"{each.norm}.{vector}"][each.channel] *= SCALE
        for reader in each.readers:
            made[f"{reader}.weight"][:, each.channel] /= SCALE
    return made


def written(folder: Path, modalities: Sequence[str]) -> list[Outlier]:
    """Write a checkpoint of the shipped weights with outliers; return those planted."""
    source = SHIPPED / TINY.name
    tensors = checkpoint(source).tensors
    found = list(outliers(tensors, modalities))
    folder.mkdir()
    (folder / MODEL).write_bytes(save(planted(tensors, found)))
    for name in (TOKENIZER, SCORES, CARD):
        (folder / name).write_bytes((source / name).read_bytes())
    return found


def contenders(root: Path, modalities: Sequence[str], plans: Mapping[str, Plan]) -> list[Contender]:
    """Export the checkpoint in the folder by each plan."""
    made = []
    for name, plan in plans.items():
        start = time.perf_counter()
        exported(root / "planted", root / name, modalities, plan)
        made.append(Contender(name=name, bundle=root / name, variant="int8"))
        print(f"{name}: exported in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return [Contender(name="fp32 planted", bundle=made[0].bundle, variant="fp32"), *made]


def rows(found: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    """Write the table."""
    yield ("modality", "task", "n", "fp32", "chain", "value", "lost", "agreement", "error")
    for each in found:
        for name, task in each.tasks.items():
            yield (
                each.modality,
                name,
                f"{task.n}",
                f"{task.reference:.4f}",
                each.name,
                f"{task.value:.4f}",
                f"{task.lost():+.2f} ± {task.doubt():.2f}",
                f"{each.agreement.get(name, float('nan')):.3f}",
                f"{each.error:.4f}",
            )


def kept(bundle: Bundle) -> dict[str, dict[str, str]]:
    """Name the layers that int8 left wider, by part, each with the reason."""
    told = bundle.manifest.evidence.parity
    return {each.part: dict(each.kept) for each in told if each.precision == "int8" and each.kept}


def worst(found: Sequence[Judged], name: str) -> float:
    """Return the most that a chain loses in any task."""
    return max(task.lost() for each in found if each.name == name for task in each.tasks.values())


def run(given: argparse.Namespace) -> int:
    """Plant, export, judge and print; 5 where the function changed or too much was lost."""
    check_count("--count", given.count, MOST)
    samples = CalibrationSet.open(given.calibration)
    budget = f"budget {given.budget:g}"
    plans = {
        "naive": Plan(calibration=samples, how=NAIVE),
        "shipped": Plan(calibration=samples),
        budget: Plan(calibration=samples, budget=given.budget),
    }
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        planted_at = written(root / "planted", given.parts)
        fresh(root / "fresh", given.count, given.parts)
        asked = contenders(root, given.parts, plans)
        base = exported(None, root / "base", given.parts, Plan())
        found = judge(base.root, asked, root / "fresh", given.parts)
        made = {name: Bundle.open(root / name) for name in plans}
    print("\n".join(aligned(rows(found))))
    most = {each.name: worst(found, each.name) for each in asked}
    report = {
        "base": base.manifest.sha256,
        "scale": SCALE,
        "planted": {each.norm: each.channel for each in planted_at},
        "stream": STREAM,
        "count": given.count,
        "most_lost": most,
        "modalities": document(found),
        "wider": {name: kept(each) for name, each in made.items()},
        "beyond_the_exporter": {name: refused(each) for name, each in made.items()},
        **stamp(),
    }
    failed = publish(report, given.json)
    if changed := [each for each in found if each.name == "fp32 planted" and _moved(each)]:
        told = ", ".join(each.modality for each in changed)
        raise CheckError(f"planting changed what fp32 scores: {told}")
    return 5 if max(most["shipped"], most[budget]) > LIMIT else failed


def _moved(each: Judged) -> bool:
    """Tell whether a score is another one by more than rounding."""
    return not all(np.allclose(task.values, task.references) for task in each.tasks.values())


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("calibration", type=Path, help="a calibration set")
    parser.add_argument(
        *("--parts",),
        type=lambda text: tuple(text.split(",")),
        default=("rgb", "sar", "hsi", "point_cloud"),
    )
    parser.add_argument("--count", type=int, default=200, help="samples of each modality")
    parser.add_argument("--budget", type=float, default=0.5, help="points")
    parser.add_argument("--json", type=destination, help="where to keep that document as well")
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
