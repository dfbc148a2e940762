"""What was measured, as tables in Markdown."""

from collections.abc import Iterator, Sequence

from edgespark.runtime.evidence.lines import KIB, changed, slow
from edgespark.runtime.evidence.verified import Verified
from edgespark.runtime.layers import Layers
from edgespark.runtime.verify import Row
from edgespark.runtime.wording import printable

PARTS = (
    "part",
    "precision",
    "form",
    "error",
    "limit",
    "ok",
    "KiB",
    "ms",
    "layers",
    "worst layer",
    "error",
)
HOW = """`error` is the greatest difference from PyTorch's output, in standard deviations of that
output; `emulated` is a precision that this device does not compute in: every tensor was rounded to
it, and `ms` is what a run takes here in float32. What `form` names other than `portable` was made
of the bundle's graph for this device, and runs in its place. A layer's error is the same difference
between its tensor and the fp32 graph's."""


def markdown(found: Verified) -> str:
    """Return the tables of scores, where they were measured, and of graphs."""
    made = [f"# {_cell(found.name)}, measured on {found.device}"]
    if found.judged is not None:
        made += ["## Scores", *_scores(found)]
    made += ["## Graphs", _table(PARTS, [_part(found, row) for row in found.rows])]
    made += [HOW, *(f"- {_cell(line)}" for line in slow(found))]
    return "\n\n".join(made) + "\n"


def _scores(found: Verified) -> Iterator[str]:
    if found.judged is None:
        return
    reference = found.judged.reference
    others = [
        name
        for name in dict.fromkeys(n for each in found.judged.scores for n in each.values)
        if name != reference
    ]
    head = ["modality", "task", "metric", "n", reference]
    head += [cell for name in others for cell in (name, "change", "agrees")]
    rows = []
    for score in found.judged.scores:
        row = [score.modality, score.task, score.metric, str(score.n)]
        row.append(f"{score.values[reference]:.4g}")
        agreement = found.agreement(score)
        for name in others:
            agrees = f"{agreement[name]:.1%}" if name in agreement else ""
            row += [f"{score.values[name]:.4g}", changed(found, score, name), agrees]
        rows.append(row)
    yield _table(head, rows)
    yield (
        f"`change` is from {_cell(reference)}, in points of an accuracy and in percents of an "
        "error; `agrees` is the share of samples with the same most probable label, or the same "
        "greedy answer."
    )


def _part(found: Verified, row: Row) -> Sequence[str]:
    return (
        row.name,
        row.precision if row.how == "native" else f"{row.precision} ({row.how})",
        row.form,
        f"{row.error:.1e}",
        f"{row.limit:.1e}",
        "yes" if row.ok else "**no**",
        f"{row.bytes / KIB:.0f}",
        f"{row.ms:.2f}",
        *_layers(found.layers_of(row)),
    )


def _layers(layers: Layers | None) -> tuple[str, str, str]:
    if layers is None or layers.worst is None:
        return "", "", ""
    return str(len(layers.errors)), layers.worst, f"{layers.errors[layers.worst]:.1e}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Write a text so that it stays in its cell, and is taken for nothing but text."""
    plain = printable(text).replace("\\", "\\\\") if text != "**no**" else text
    return plain.replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
