r"""What each way to store the LLM's weights costs: scores, perplexity, bytes, and time of a step.

    python -m benchmarks.llm_formats build/tiny --calibration build/calibration \
        --json docs/results/llm-formats.json

Every format is made of allspark-tiny's own weights by what the exporter uses, and stands in the
place of the bundle's float32 decoder; embedder, encoders and heads stay float32, so that the LLM's
format alone shows. Scores are those of heads and of greedy answers on samples of a stream that
nothing was trained, judged or calibrated on; differences from float32 are of single samples, and
stand with their standard error: points of accuracy, or per cent of an error metric. Perplexity is
that of the right answers' tokens and the end, fed one by one.

Formats that are "derived" are scored on the graph that is derived for a CPU: a portable one reads
the rows of its own run as floats, and would tell nothing of int8 keys and values in a prompt.

"step" is the median time of one decoder step behind a whole prompt, of the portable graph in ONNX
Runtime on one thread, formats interleaved; nothing else is timed. The last line is one JSON
document.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.decoder_cases import Judged, Ran, cases, judged, ran
from benchmarks.decoder_formats import Made, made, step_ms
from benchmarks.document import destination, publish, stamp
from benchmarks.paired_scores import STREAM, Task, fresh
from edgespark.calibration.sets import CalibrationSet
from edgespark.export.pack import Draft
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import EdgesparkError
from edgespark.runtime.options import check_count
from edgespark.runtime.wording import aligned

MOST = 100_000  # samples
VERSIONS = ("edgespark", "numpy", "onnx", "onnxruntime", "torch")


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
        **stamp(),
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
