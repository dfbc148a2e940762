"""Time to the first token of a prompt with an image: new, its tokens kept, its prefix kept.

    python benchmarks/first_token.py build/tiny --precision int8
    python benchmarks/first_token.py build/base --json docs/results/first-token.json

Timed: `generate(question, max_tokens=1)` with an array of the size that the encoder takes, its
preparation included. Not timed: loading, and the first calls. Three kinds, by turns in one process:

- new: an image that was never seen, so that nothing of it is kept;
- image: an image seen before, but not in the last call: its tokens are kept, its prefix is not;
- prefix: the image of the last call with another question: only the question is read.

All questions have one length, and none comes twice. `stats` must say of each call that it was of
its kind, or the kind is told as absent. A round is one call of each; one during which other
processes had more than a little of the cores (/proc/stat, Linux only) does not count, unless
`--disturbed` is given, which the document then says. The last line is one JSON document.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import (  # noqa: E402 found by the line above
    at_least_one,
    destination,
    machine,
    publish,
    versions_of,
)
from benchmarks.peers.timing import BUSY, watched  # noqa: E402
from edgespark.runtime import Bundle, Spark, Stats, load  # noqa: E402
from edgespark.runtime.errors import EdgesparkError  # noqa: E402

NEW, IMAGE, PREFIX = "new", "image", "prefix"
WARM = 3  # rounds
PACKAGES = ("edgespark", "onnxruntime", "numpy")
QUESTION = "What is shown in scene number {:06d}?"

HOLDS: dict[str, Callable[[Stats], bool]] = {  # what the stats of such a call must say
    NEW: lambda stats: not stats.cached and "decoder.prefill" in stats.stages,
    IMAGE: lambda stats: bool(stats.cached) and stats.reused_tokens < stats.prompt_tokens // 2,
    PREFIX: lambda stats: bool(stats.cached) and stats.reused_tokens >= stats.prompt_tokens // 2,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call: what it took in ms, and what its stats say."""

    ms: float
    stats: Stats


class Asker:
    """Asks about images, each question once."""

    def __init__(self, spark: Spark, modality: str) -> None:
        """Draw images of the size that the modality's encoder takes."""
        record: Any = spark.manifest.route(modality).preprocessing
        self._shape = (len(record.bands), record.rows, record.columns)
        self._dtype = np.dtype(record.dtypes[0])
        self._spark, self._modality = spark, modality
        self._random = np.random.default_rng(0)
        self._asked = 0
        self._before = self._image()
        self._ask(self._before)

    def round(self) -> dict[str, Call]:
        """Make one call of each kind."""
        fresh, before = self._image(), self._before
        self._before = fresh
        return {NEW: self._ask(fresh), PREFIX: self._ask(fresh), IMAGE: self._ask(before)}

    def _image(self) -> NDArray[Any]:
        drawn = self._random.integers(0, 100, self._shape)  # which every type of samples holds
        return drawn.astype(self._dtype)

    def _ask(self, image: NDArray[Any]) -> Call:
        self._asked += 1
        question = QUESTION.format(self._asked)
        modalities: dict[str, Any] = {self._modality: image}
        begin = time.perf_counter()
        self._spark.generate(question, max_tokens=1, temperature=0.0, **modalities)
        ms = (time.perf_counter() - begin) * 1e3
        return Call(ms=ms, stats=self._spark.stats)


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    given = _given()
    try:
        return run(given)
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def run(given: argparse.Namespace) -> int:
    """Run the rounds, print a table, and write the document."""
    spark = load(given.bundle, precision=given.precision, threads=given.threads)
    route = spark.manifest.route(given.modality)
    if not hasattr(route.preprocessing, "bands"):
        print(f"{given.modality} takes no array of bands: give --modality rgb", file=sys.stderr)
        return 2
    asker = Asker(spark, given.modality)
    kept: list[dict[str, Call]] = []
    thrown = 0
    for _ in range(WARM):
        asker.round()
    while len(kept) < given.rounds and len(kept) + thrown < given.tries:
        made, others = watched(asker.round)
        if others <= BUSY or given.disturbed:
            kept.append(made)
        else:
            thrown += 1
    if len(kept) < given.rounds:
        print(f"{len(kept)} of {given.rounds} rounds were undisturbed", file=sys.stderr)
        return 1
    document = summary(kept) | about(given, spark) | {"thrown_rounds": thrown}
    print("\n".join(table(document)))
    return publish(document, given.json)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="auto", help="the bundle's variant")
    parser.add_argument("--modality", default="rgb", help="one whose input is an image")
    parser.add_argument("--threads", type=int, help="default: the backend's choice")
    parser.add_argument("--rounds", type=at_least_one, default=15, help="undisturbed ones")
    parser.add_argument("--tries", type=at_least_one, default=300, help="rounds begun at most")
    parser.add_argument("--disturbed", action="store_true", help="count disturbed rounds too")
    parser.add_argument("--json", type=destination, help="where the document is written")
    return parser.parse_args()


def summary(rounds: list[dict[str, Call]]) -> dict[str, Any]:
    """Sum up the rounds: medians in ms, quartiles, and how many times as fast as a new image."""
    absent = [
        kind for kind, holds in HOLDS.items() if not all(holds(r[kind].stats) for r in rounds)
    ]
    ms = {kind: [each[kind].ms for each in rounds] for kind in HOLDS if kind not in absent}
    last = {kind: rounds[-1][kind].stats for kind in ms}
    document: dict[str, Any] = {
        "ms": {kind: round(statistics.median(each), 2) for kind, each in ms.items()},
        "quartiles_ms": {kind: _quartiles(each) for kind, each in ms.items()},
        "prompt_tokens": {kind: stats.prompt_tokens for kind, stats in last.items()},
        "reused_tokens": {kind: stats.reused_tokens for kind, stats in last.items()},
        "stages_ms": {kind: _stages([each[kind] for each in rounds]) for kind in ms},
        "absent": absent,
        "rounds": len(rounds),
    }
    if NEW in ms:
        document["ratios"] = {
            kind: round(statistics.median(map(float.__truediv__, ms[NEW], each)), 2)
            for kind, each in ms.items()
        }
    return document


def _quartiles(ms: list[float]) -> list[float]:
    low, _, high = statistics.quantiles(ms, n=4) if len(ms) > 1 else ms * 3
    return [round(low, 2), round(high, 2)]


def _stages(calls: list[Call]) -> dict[str, float]:
    """Take the median of each stage that all calls have."""
    names = [name for name in calls[0].stats.stages if all(name in c.stats.stages for c in calls)]
    return {
        name: round(statistics.median(each.stats.stages[name] for each in calls), 2)
        for name in names
    }


def about(given: argparse.Namespace, spark: Spark) -> dict[str, Any]:
    """Tell what was measured, and where."""
    return {
        "bundle": Bundle.open(given.bundle).manifest.name,
        "modality": given.modality,
        "precision": spark.stats.precision,
        "lowered": list(spark.stats.lowered),
        "threads": given.threads,
        "disturbed": given.disturbed,
        "versions": versions_of(
            {"edgespark": [{"versions": {each: version(each) for each in PACKAGES}}]}
        ),
        **machine(),
    }


def table(document: dict[str, Any]) -> list[str]:
    """Write the figures, slowest first."""
    lines = [f"{'image':8} {'ms':>8} {'times as fast':>14} {'prompt':>7} {'reused':>7}"]
    for kind, ms in document["ms"].items():
        ratio = document.get("ratios", {}).get(kind, float("nan"))
        prompt, reused = (document[f"{each}_tokens"][kind] for each in ("prompt", "reused"))
        lines.append(f"{kind:8} {ms:8.2f} {ratio:14.2f} {prompt:7} {reused:7}")
    lines += [f"{kind:8} not measured: stats deny it" for kind in document["absent"]]
    return lines


if __name__ == "__main__":
    sys.exit(main())
