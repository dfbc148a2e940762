"""What was measured, as lines for a terminal."""

from collections.abc import Iterator

from edgespark.runtime.evidence.verified import Verified, slower, unit
from edgespark.runtime.manifest import Score
from edgespark.runtime.verify import Row
from edgespark.runtime.wording import aligned, listed, printable, short

KIB = 1024
COLUMNS = ("part", "precision", "form", "error", "limit", "size", "time", "ok")
UNITS = {"points": "points", "percent": "%"}
TIMES = "{} ({:.2f} times)"


def lines(found: Verified) -> str:
    """Return a row per graph, then what is slower, the worst layers, and the scores."""
    rest = (*slow(found), *_worst(found), *_scores(found))
    return "\n".join((*aligned([COLUMNS, *map(_cells, found.rows)]), *map(printable, rest)))


def slow(found: Verified) -> Iterator[str]:
    """Say in a line per precision where it is slower than fp32, with the slowest part first."""
    for precision, each in slower(found.rows).items():
        parts = sorted(each.parts, key=lambda part: -each.parts[part])
        told = listed(parts, lambda part: TIMES.format(part, each.parts[part]))  # noqa: B023 used at once
        yield (
            f"slower than fp32 on this device: {precision} in {told}; "
            f"all its parts together take {each.together:.2f} times as long as fp32's"
        )


def changed(found: Verified, score: Score, variant: str) -> str:
    """Write how far the variant is from the reference; "" where nothing tells."""
    difference = found.difference(score, variant)
    return "" if difference is None else f"{difference:+.2f} {UNITS[unit(score)]}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.precision if row.how == "native" else f"{row.precision} ({row.how})",
        row.form,
        f"{row.error:.1e}",
        f"{row.limit:.1e}",
        f"{row.bytes / KIB:,.0f} KiB",
        f"{row.ms:.2f} ms",
        "yes" if row.ok else "NO",
    )


def _worst(found: Verified) -> Iterator[str]:
    for each in found.layers or ():
        if each.worst is not None:
            error = f"{short(each.worst)} {each.errors[each.worst]:.1e}"
            yield f"worst of {len(each.errors)} layers of {each.name} {each.precision}: {error}"


def _scores(found: Verified) -> Iterator[str]:
    """Give a line per variant that was measured now, and one of what the bundle says of itself."""
    for variant, parts in found.judged.lowered.items() if found.judged is not None else ():
        yield f"scores of {variant}: graphs derived for this device ran for {listed(parts)}"
    for score in found.judged.scores if found.judged is not None else ():
        for variant, value in score.values.items():
            measured = f"{variant} {value:.3f} {score.metric} on {score.n} samples"
            yield f"{score.modality} {score.task}: {measured}{_beside(found, score, variant)}"
        before = found.earlier(score)
        if before is not None:
            values = [f"{name} {value:.3f}" for name, value in before.values.items()]
            others = [f"{name} {value:.3f}" for name, value in before.baselines.items()]
            against = f"; simpler methods on the same: {', '.join(others)}" if others else ""
            yield f"  when it was made, on {before.n} samples: {', '.join(values)}{against}"


def _beside(found: Verified, score: Score, variant: str) -> str:
    """Write how the variant stands beside the reference, which itself stands alone."""
    if found.judged is None or variant == found.judged.reference:
        return ""
    told = [changed(found, score, variant)]
    agreement = found.agreement(score)
    if variant in agreement:
        told.append(f"{agreement[variant]:.1%} as {found.judged.reference} says")
    return "".join(f", {each}" for each in told if each)
