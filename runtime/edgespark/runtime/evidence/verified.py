"""All that one `edgespark verify` measured, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edgespark.runtime.derived import PORTABLE
from edgespark.runtime.layers import Layers
from edgespark.runtime.manifest import Precision, Score
from edgespark.runtime.scores import Judged
from edgespark.runtime.verify import Row

Key: TypeAlias = tuple[str, str, str]  # a score's modality, task and metric

# What takes no more than so many times as long, or no more milliseconds longer, may be as fast:
# times scatter, and every run of a graph has its own overhead.
MARGIN, SLACK = 1.1, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was measured of the bundle `name` on `device`.

    `layers` are None where nobody asked for them, and `judged` where nobody asked for scores.
    `before` are the scores of the bundle's own evidence, measured when it was made.
    """

    name: str
    device: str
    rows: tuple[Row, ...]
    layers: tuple[Layers, ...] | None
    judged: Judged | None
    before: Mapping[Key, Score]

    def layers_of(self, row: Row) -> Layers | None:
        """Return the layers that were measured of this row's graph, if any: of portable ones."""
        if row.form != PORTABLE:
            return None
        known = {(each.name, each.precision): each for each in self.layers or ()}
        return known.get((row.name, row.precision))

    def earlier(self, score: Score) -> Score | None:
        """Return what the bundle says of itself for the same modality, task and metric."""
        return self.before.get(key(score))

    def agreement(self, score: Score) -> Mapping[str, float]:
        """Return for each variant the share of samples on which it says what the reference says."""
        found = self.judged.agreement if self.judged is not None else ()
        same = [e for e in found if (e.modality, e.task) == (score.modality, score.task)]
        return same[0].values if same else {}

    def difference(self, score: Score, variant: str) -> float | None:
        """Return how far the variant is from the reference: see `unit`; None where nothing tells.

        An error of 0 has no percents.
        """
        if self.judged is None or self.judged.reference not in score.values:
            return None
        value, reference = score.values[variant], score.values[self.judged.reference]
        if score.higher_is_better:
            return 100 * (value - reference)
        return 100 * (value / reference - 1) if reference else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Slower:
    """Where a precision takes longer than fp32: how many times as long, by part and over all.

    `together` counts every part that has both graphs, the faster ones too.
    """

    parts: dict[str, float]
    together: float


def key(score: Score) -> Key:
    """Return what a score is compared by."""
    return score.modality, score.task, score.metric


def unit(score: Score) -> str:
    """Return what differences of the score are in: points of a share, percents of an error."""
    return "points" if score.higher_is_better else "percent"


def is_slower(ms: float, wide: float) -> bool:
    """Tell whether a graph takes longer than its float32 one, beyond MARGIN and SLACK."""
    return ms > max(MARGIN * wide, wide + SLACK)


def slower(rows: Sequence[Row]) -> dict[Precision, Slower]:
    """Return each precision that is slower than fp32 in some part, beyond MARGIN and SLACK.

    Of a graph in several forms the last one counts: a derived one, which runs in its place.
    """
    wide = {row.name: row.ms for row in rows if row.precision == "fp32"}
    narrow: dict[Precision, dict[str, float]] = {}
    for row in rows:
        if row.precision != "fp32" and row.name in wide:
            narrow.setdefault(row.precision, {})[row.name] = row.ms
    found = {}
    for precision, taken in narrow.items():
        parts = {part: ms / wide[part] for part, ms in taken.items() if is_slower(ms, wide[part])}
        if parts:
            together = sum(taken.values()) / sum(wide[part] for part in taken)
            found[precision] = Slower(parts=parts, together=together)
    return found
