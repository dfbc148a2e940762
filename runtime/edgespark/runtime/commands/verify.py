"""`edgespark verify BUNDLE`: hash every file and measure every graph against PyTorch's outputs."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf, isfinite
from typing import TypeAlias

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import (
    Parser,
    add_bundle,
    add_device,
    hashing,
    show,
    show_json,
    tell,
)
from edgespark.runtime.device import check_packages, device_named
from edgespark.runtime.errors import CheckError, UsageError
from edgespark.runtime.manifest import Score
from edgespark.runtime.options import MOST_THREADS, check_count
from edgespark.runtime.progress import track
from edgespark.runtime.scores import Run, score
from edgespark.runtime.verify import Row, check_files, graphs, rows
from edgespark.runtime.wording import printable

Key: TypeAlias = tuple[str, str, str]  # a score's modality, task and metric

KIB = 1024
COLUMNS = ("part", "precision", "error", "limit", "size", "time", "ok")


def main(arguments: list[str]) -> int:
    """Print a row per graph, and scores if asked for; 0 if all limits hold, else 5.

    Beside each score stand what the bundle's evidence says of it, and what simpler methods scored:
    both were measured when the bundle was made, on as many samples as the evidence names.
    """
    given = _parser().parse_args(arguments)
    for name, most in (("threads", MOST_THREADS), ("samples", inf)):
        if getattr(given, name) is not None:
            check_count(f"--{name}", getattr(given, name), most)
    if given.samples is not None and not given.scores:
        raise UsageError("--samples means nothing without --scores: add that, or leave both out")
    device = device_named(given.device)
    check_packages()
    bundle = Bundle.open(given.bundle)
    check_files(bundle, hashing(asked=given.progress))
    total = len(graphs(bundle))
    measured = rows(bundle, device, given.threads)
    with track(measured, "verify", total, asked=given.progress) as shown:
        done = list(shown)
    scores = _scores(bundle, given) if given.scores else None
    before = {_key(score): score for score in bundle.manifest.evidence.scores}
    if given.json:
        show_json(_document(done, scores, before))
    else:
        show(_table(done) + _score_lines(scores or (), before))
    short = [row for row in done if not row.ok]
    for row in short:
        tell(
            f"{row.name} {row.precision}: {row.error:.1e} standard deviations from PyTorch; its "
            f"limit in this bundle is {row.limit:.1e}: another device, or another version of its "
            "libraries, may compute otherwise than the one that exported it"
        )
    return CheckError.exit_code if short else 0


def _parser() -> Parser:
    parser = Parser(prog="edgespark verify", description=__doc__)
    add_bundle(parser)
    add_device(parser)
    parser.add_argument("--scores", action="store_true", help="score the held-out samples as well")
    parser.add_argument("--samples", type=int, metavar="N", help="only the first N of each set")
    return parser


def _scores(bundle: Bundle, given: argparse.Namespace) -> tuple[Score, ...]:
    def shown(indices: Sequence[int], title: str) -> AbstractContextManager[Iterable[int]]:
        return track(indices, title, len(indices), asked=given.progress)

    return score(
        bundle, shown, Run(device=given.device, threads=given.threads, limit=given.samples)
    )


def _key(score: Score) -> Key:
    return score.modality, score.task, score.metric


def _document(
    done: Sequence[Row], scores: Sequence[Score] | None, before: Mapping[Key, Score]
) -> dict[str, object]:
    """Return the JSON document; an error that is not finite is null."""
    made: dict[str, object] = {
        "ok": all(row.ok for row in done),
        "parts": [
            {
                "name": row.name,
                "precision": row.precision,
                "error": row.error if isfinite(row.error) else None,
                "limit": row.limit,
                "bytes": row.bytes,
                "ms": row.ms,
                "how": row.how,
                "ok": row.ok,
            }
            for row in done
        ],
    }
    if scores is None:
        return made
    tasks: dict[str, dict[str, object]] = {}
    for each in scores:
        tasks.setdefault(each.modality, {})[each.task] = _score(each, before.get(_key(each)))
    return {**made, "scores": tasks}


def _score(score: Score, before: Score | None) -> dict[str, object]:
    """Return the score that was measured now, and apart from it what the bundle says of itself."""
    evidence = None if before is None else {"n": before.n, "values": before.values}
    return {
        "metric": score.metric,
        "higher_is_better": score.higher_is_better,
        "n": score.n,
        "values": score.values,
        "evidence": evidence,
        "baselines": {} if before is None else before.baselines,
    }


def _table(done: Sequence[Row]) -> str:
    cells = [COLUMNS, *map(_cells, done)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    precision = row.precision if row.how == "native" else f"{row.precision} ({row.how})"
    size = f"{row.bytes / KIB:,.0f} KiB"
    verdict = "yes" if row.ok else "NO"
    return (
        row.name,
        precision,
        f"{row.error:.1e}",
        f"{row.limit:.1e}",
        size,
        f"{row.ms:.2f} ms",
        verdict,
    )


def _score_lines(scores: Sequence[Score], before: Mapping[Key, Score]) -> str:
    lines = (line for each in scores for line in _told(each, before.get(_key(each))))
    return "".join(f"\n{printable(line)}" for line in lines)


def _told(score: Score, before: Score | None) -> Iterator[str]:
    """Give a line per variant that was measured now, and one of what the bundle says of itself."""
    for variant, value in score.values.items():
        measured = f"{variant} {value:.3f} {score.metric} on {score.n} samples"
        yield f"{score.modality} {score.task}: {measured}"
    if before is not None:
        values = [f"{name} {value:.3f}" for name, value in before.values.items()]
        others = [f"{name} {value:.3f}" for name, value in before.baselines.items()]
        against = f"; simpler methods on the same: {', '.join(others)}" if others else ""
        yield f"  when it was made, on {before.n} samples: {', '.join(values)}{against}"
