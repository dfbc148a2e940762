"""`edgespark build BUNDLE --target NAME`: derive of its graphs what that target runs fastest.

They lie in the bundle's folder derived/ (where that is read-only, in the one that $EDGESPARK_CACHE
names), and `load` takes them from there. The bundle's own files never change.
"""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from edgespark.engines.build import Outcome, build, check, chosen, prune
from edgespark.engines.targets import TARGETS, Target, target_named
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, add_bundle, show, show_json, tell
from edgespark.runtime.derived import PORTABLE
from edgespark.runtime.derived_shelf import entries
from edgespark.runtime.device import check_packages
from edgespark.runtime.options import MOST_THREADS, check_count
from edgespark.runtime.progress import track
from edgespark.runtime.verify import Row
from edgespark.runtime.wording import aligned, listed, printable

__all__ = ["derive", "document", "lines", "main"]

COLUMNS = ("part", "precision", "state", "size", "error", "limit", "time")
KIB = 1024


def main(arguments: list[str]) -> int:
    """Build and show what became of each graph; CheckError where one is beyond its limit."""
    given = _parser().parse_args(arguments)
    if given.threads is not None:
        check_count("--threads", given.threads, MOST_THREADS)
    check_packages()
    bundle = Bundle.open(given.bundle)
    target = target_named(given.target, bundle)
    precisions = () if given.precision is None else tuple(given.precision.split(","))
    done = derive(bundle, target, precisions, threads=given.threads, asked=given.progress)
    pruned = prune(bundle) if given.prune else []
    stale = [each for each in entries(bundle) if each.stale]
    if given.json:
        made = document(target, done)
        show_json({**made, "pruned": pruned, "stale": [str(each.folder) for each in stale]})
    else:
        show("\n".join(lines(done)))
    if pruned:
        tell(f"{len(pruned)} stale folders of derived graphs were removed")
    if stale:
        size = sum(each.bytes for each in stale) / KIB
        tell(f"{len(stale)} stale folders ({size:,.0f} KiB) serve no graph; --prune removes them")
    check(done)
    return 0


def derive(
    bundle: Bundle,
    target: Target,
    precisions: Sequence[str] = (),
    *,
    threads: int | None = None,
    asked: bool = False,
) -> list[Outcome]:
    """Build with a progress bar: see `chosen` and `build`."""
    jobs = chosen(bundle, precisions)
    with track(build(jobs, target, threads), "build", len(jobs), asked=asked) as shown:
        return list(shown)


def document(target: Target, done: Sequence[Outcome]) -> dict[str, Any]:
    """Return the plain values of `--json`; an error that is not finite is null."""
    return {
        "ok": all(each.state != "failed" for each in done),
        "target": target.name,
        "lowering": target.lowering,
        "parts": [_plain(target, each) for each in done],
    }


def lines(done: Sequence[Outcome]) -> list[str]:
    """Return a row for each graph that has another form, then why others have none."""
    lowered = [each for each in done if each.state != PORTABLE]
    table = aligned([COLUMNS, *map(_cells, lowered)]) if lowered else ["nothing was lowered"]
    return [*table, *map(printable, _reasons(done))]


def _parser() -> Parser:
    parser = Parser(prog="edgespark build", description=__doc__)
    add_bundle(parser)
    known = ", ".join(TARGETS)
    parser.add_argument("--target", default="cpu", metavar="NAME", help=f"one of: {known}")
    parser.add_argument(
        "--precision", metavar="P", help="only graphs of these variants, as in int8,int4"
    )
    parser.add_argument("--prune", action="store_true", help="remove what no graph asks for")
    parser.add_argument("--threads", type=int, help="CPU threads of one run")
    return parser


def _plain(target: Target, each: Outcome) -> dict[str, Any]:
    after = each.after
    return {
        "name": each.job.part.name,
        "precision": each.job.graph.precision,
        "state": each.state,
        "form": target.lowering if each.folder is not None else PORTABLE,
        "reason": each.reason,
        "folder": None if each.folder is None else str(each.folder),
        "bytes": each.bytes,
        "portable_bytes": each.job.bytes,
        "error": None if after is None else _finite(after),
        "limit": each.job.graph.limit,
        "portable_error": None if each.before is None else _finite(each.before),
        "portable_ms": None if each.before is None else each.before.ms,
        "ms": None if after is None else after.ms,
    }


def _finite(measured: Row) -> float | None:
    return measured.error if isfinite(measured.error) else None


def _cells(each: Outcome) -> tuple[str, ...]:
    before, after = each.before, each.after
    return (
        each.job.part.name,
        each.job.graph.precision,
        each.state,
        f"{each.job.bytes / KIB:,.0f} → {each.bytes / KIB:,.0f} KiB" if each.bytes else "",
        f"{after.error:.1e}" if after is not None else "",
        f"{each.job.graph.limit:.1e}",
        f"{before.ms:.2f} → {after.ms:.2f} ms" if before and after else "",
    )


def _reasons(done: Sequence[Outcome]) -> Iterator[str]:
    """Give a line for each reason why graphs keep their portable form, with all that it holds."""
    graphs: dict[str, list[str]] = {}
    for each in done:
        if each.state == PORTABLE:
            graphs.setdefault(each.reason, []).append(each.job.title)
    for reason, names in graphs.items():
        yield f"portable: {listed(names)}: {reason}"
