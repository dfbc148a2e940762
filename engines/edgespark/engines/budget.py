"""The cheapest mix of precisions whose scores stay within a budget."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TypeAlias

from edgespark.calibration.chain import Swap
from edgespark.calibration.judge import Judge
from edgespark.runtime.errors import CheckError, UsageError
from edgespark.runtime.progress import track
from edgespark.runtime.wording import listed

TRIMS = 8
"""Layers of a bisected stretch that are tried once more on their own, those of most work first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A layer that may be narrow: what it adds to the error end to end alone, and its work.

    `added` is in standard deviations, as `sensitivity` measures it; `work` are multiply-adds.
    """

    part: str
    layer: str
    added: float
    work: int

    @property
    def gain(self) -> tuple[float, str, str]:
        """What orders layers: error per work, the names where that is equal."""
        return (-self.added / max(self.work, 1), self.part, self.layer)


Wide: TypeAlias = frozenset[Candidate]
"""The layers that are left wider."""
Drops: TypeAlias = Callable[[Mapping[str, frozenset[str]], Collection[str]], Mapping[str, float]]
"""From the wide layers of each part, and modalities, to what each of these loses, in points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mix:
    """What the search found: by part the layers that stay wider, each with the reason.

    `drops` is what each modality loses with it, `drop` the largest of that, in points (per cent for
    errors); `narrow` the share (0…1) of the candidates' work that stays narrow; `evaluations` how
    often chains were judged.
    """

    kept: Mapping[str, Mapping[str, str]]
    drops: Mapping[str, float]
    narrow: float
    evaluations: int

    @property
    def drop(self) -> float:
        """The largest loss of any modality."""
        return max(self.drops.values(), default=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is searched: the layers that may be narrow, and the modalities that pass each part.

    A layer that adds more than `most` stays wider from the outset: a few hundred samples show a
    loss of whole points alone, and what moves the chain so far is likely to cost on others.
    """

    candidates: Sequence[Candidate]
    reached: Mapping[str, Collection[str]]
    budget: float
    most: float = inf
    progress: bool = False


def judged(
    judge: Judge,
    parts: Collection[str],
    make: Callable[[str, frozenset[str]], Swap],
    fixed: Mapping[str, Swap] | None = None,
) -> Drops:
    """Return what `search` asks: each mix is made into graphs, and judged on the chain.

    `make` gives the graph of one of the `parts` with these layers wide and all others narrow;
    `fixed` are graphs that are not searched. The last graph of each part is kept.
    """
    last: dict[str, tuple[frozenset[str], Swap]] = {}

    def drops(
        wide: Mapping[str, frozenset[str]], modalities: Collection[str]
    ) -> Mapping[str, float]:
        needed = [part for part in parts if judge.reached(part) & set(modalities)]
        for part in needed:
            layers = wide.get(part, frozenset())
            if part not in last or last[part][0] != layers:
                last[part] = layers, make(part, layers)
        return judge(
            {**(fixed or {}), **{part: last[part][1] for part in needed}}, modalities
        ).drops()

    return drops


def search(question: Question, drops: Drops) -> Mix:
    """Find the cheapest mix that loses at most the budget: with the least work left wider.

    Everything is narrow at first. A modality that loses too much gets layers back, those that add
    most error per unit of work first: of the parts that it alone passes, as many as bisection finds
    to be needed, then of those that it shares. CheckError, with the best mix that was found, where
    none holds; UsageError for a budget that is no number of at least 0. The same answers of `drops`
    give the same mix.
    """
    if not isfinite(question.budget) or question.budget < 0:
        raise UsageError(
            f"a budget of {question.budget:g} points cannot be; give points of at least 0"
        )
    total = 2 + len(question.candidates).bit_length() + TRIMS
    with track(range(total), "budget", total, asked=question.progress) as ticks:
        return _Search(question, drops, iter(ticks)).mix()


class _Search:
    """The state of a search: what is wide now, and what each modality loses with it."""

    def __init__(self, question: Question, drops: Drops, ticks: Iterator[object]) -> None:
        self._question = question
        self._judge = drops
        self._ticks = ticks
        self._forced = frozenset(c for c in question.candidates if c.added > question.most)
        self._wide: Wide = self._forced
        self._best: tuple[float, int, Wide, dict[str, float]] | None = None
        self._seen: dict[tuple[str, Wide], float] = {}
        self._modalities = sorted({m for each in question.reached.values() for m in each})
        self._evaluations = 0

    def mix(self) -> Mix:
        failing = self._failing(self._modalities)
        for modality in failing:
            self._bisect(self._own(modality), [modality])
        self._share(failing)
        # what was given back for one modality may have made another one worse
        while left := self._failing(self._modalities):
            wider = self._wide.union(*(self._passed(each) for each in left))
            if wider == self._wide:
                raise self._short()
            self._wide = wider
        return self._made(self._wide, self._drops(self._wide, self._modalities))

    def _share(self, modalities: Sequence[str]) -> None:
        """Give back shared layers to those that lose too much with all of their own wide."""
        failing = self._failing(modalities)
        if not failing or not self._bisect(self._common(failing), failing):
            return
        for each in modalities:  # with these they may need less of their own
            own = (self._wide - self._forced) & frozenset(self._own(each))
            self._wide -= own
            self._bisect(self._ordered(own), [each])

    def _bisect(self, layers: Sequence[Candidate], modalities: Sequence[str]) -> bool:
        """Make as few of the layers wide, the first of them, as the modalities need; tell if so."""
        start = self._wide
        if self._holds(start, modalities):
            return True
        self._wide = start | frozenset(layers)
        if not self._holds(self._wide, modalities):
            return False
        low, high = 0, len(layers)  # too few, enough
        while high - low > 1:
            middle = (low + high) // 2
            enough = self._holds(start | frozenset(layers[:middle]), modalities)
            low, high = (low, middle) if enough else (middle, high)
        self._wide = start | frozenset(layers[:high])
        self._trim(layers[: high - 1], modalities)
        return True

    def _trim(self, layers: Sequence[Candidate], modalities: Sequence[str]) -> None:
        """Make single layers narrow again that the modalities can do without."""
        for each in sorted(layers, key=lambda c: (-c.work, c.gain))[:TRIMS]:
            if self._holds(self._wide - {each}, modalities):
                self._wide -= {each}

    def _failing(self, modalities: Sequence[str]) -> list[str]:
        found = self._drops(self._wide, modalities)
        return [each for each in modalities if not found[each] <= self._question.budget]

    def _holds(self, wide: Wide, modalities: Sequence[str]) -> bool:
        found = self._drops(wide, modalities)
        return all(found[each] <= self._question.budget for each in modalities)

    def _drops(self, wide: Wide, modalities: Sequence[str]) -> dict[str, float]:
        """Judge what was not judged before: a modality depends on the parts that it passes."""
        keys = {each: (each, wide & frozenset(self._passed(each))) for each in modalities}
        if missing := [each for each in modalities if keys[each] not in self._seen]:
            next(self._ticks, None)
            self._evaluations += 1
            found = self._judge(_by_part(wide), missing)
            self._seen |= {keys[each]: found[each] for each in missing}
        made = {each: self._seen[keys[each]] for each in modalities}
        if len(modalities) == len(self._modalities):
            self._note(wide, made)
        return made

    def _note(self, wide: Wide, drops: dict[str, float]) -> None:
        worst, work = max(drops.values(), default=0.0), sum(c.work for c in wide)
        if self._best is None or (worst, work) < self._best[:2]:
            self._best = worst, work, wide, drops

    def _passed(self, modality: str) -> list[Candidate]:
        reached = self._question.reached
        free = (c for c in self._question.candidates if c not in self._forced)
        return [c for c in free if modality in reached.get(c.part, ())]

    def _own(self, modality: str) -> list[Candidate]:
        reached = self._question.reached
        return self._ordered(c for c in self._passed(modality) if len(reached[c.part]) == 1)

    def _common(self, modalities: Sequence[str]) -> list[Candidate]:
        passed = {each for modality in modalities for each in self._passed(modality)}
        own = {each for modality in modalities for each in self._own(modality)}
        return self._ordered(passed - own)

    def _ordered(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda each: each.gain)

    def _made(self, wide: Wide, drops: dict[str, float]) -> Mix:
        total = sum(each.work for each in self._question.candidates)
        narrow = total - sum(each.work for each in wide)
        return Mix(
            kept=self._reasons(wide),
            drops=drops,
            narrow=narrow / total if total else 1.0,
            evaluations=self._evaluations,
        )

    def _reasons(self, wide: Wide) -> dict[str, dict[str, str]]:
        kept: dict[str, dict[str, str]] = {}
        for each in self._ordered(wide):
            kept.setdefault(each.part, {})[each.layer] = (
                f"adds {each.added:.2g} of a standard deviation end to end; {self._reason(each)}"
            )
        return kept

    def _reason(self, candidate: Candidate) -> str:
        if candidate in self._forced:
            return f"{self._question.most:g} is the most that a layer may add"
        return f"given back for a budget of {self._question.budget:g} points"

    def _short(self) -> CheckError:
        """Return the error of a budget that cannot be met, with the best that was found."""
        if self._best is None:
            return CheckError("no chain was judged: there is no modality")
        _, _, wide, drops = self._best
        mix = self._made(wide, drops)
        worst = max(drops, key=lambda each: drops[each])
        names = listed(f"{each.part}: {each.layer}" for each in self._ordered(wide))
        given = f"{len(wide)} layers left wider ({names})" if wide else "no layer left wider"
        return CheckError(
            f"no mix of these layers keeps the budget of {self._question.budget:g} points: the "
            f"best of {self._evaluations} that were judged loses {mix.drop:.3g} ({worst}), with "
            f"{given}. Raise the budget, or leave out the precision"
        )


def _by_part(wide: Wide) -> dict[str, frozenset[str]]:
    parts = sorted({each.part for each in wide})
    return {part: frozenset(c.layer for c in wide if c.part == part) for part in parts}
