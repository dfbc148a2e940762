"""How well a chain does on a set, beside the same chain on the bundle's own graphs."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf

from edgespark.calibration.chain import SampleSource, Swap, named, opened, reached, shared
from edgespark.calibration.outcomes import Asked, Outcome, Tap, apart, outcome
from edgespark.calibration.task_scores import TaskScore, Trial, Truth, task_scores
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.model import Model
from edgespark.runtime.stats import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How a chain did: a score per modality and task, and the end-to-end error per modality.

    The error is that of `outcomes.apart`: in standard deviations of what the own graphs give.
    """

    scores: tuple[TaskScore, ...]
    errors: Mapping[str, float]

    def drops(self) -> dict[str, float]:
        """Return what each modality loses in the task that loses most."""
        drops: dict[str, float] = {}
        for each in self.scores:
            drops[each.modality] = max(each.drop, drops.get(each.modality, -inf))
        return drops


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """By what a chain is judged: the first `limit` samples of each modality (None: all).

    Answers end after `tokens` tokens (None: the bundle's own number).
    """

    limit: int | None = None
    tokens: int | None = None
    threads: int | None = None


class Judge:
    """Scores chains on a set; what the bundle's own graphs give is computed once and kept."""

    def __init__(self, bundle: Bundle, samples: SampleSource, terms: Terms | None = None) -> None:
        """Take what to judge by; nothing is run yet.

        InputError for a set without any modality of the bundle.
        """
        self._bundle = bundle
        self._samples = samples
        self._terms = terms or Terms()
        self.modalities = shared(bundle.manifest, samples.modalities)
        self._known: dict[str, tuple[list[Outcome], list[Truth]]] = {}

    def __call__(
        self, graphs: Mapping[str, Swap], modalities: Collection[str] | None = None
    ) -> Verdict:
        """Score the chain with these graphs in place of the bundle's own.

        `modalities` are those to score (None: all that set and bundle have). InputError names a
        sample that cannot be taken; DeviceError where a graph cannot run here.
        """
        chosen = [each for each in self.modalities if modalities is None or each in modalities]
        if missing := [each for each in chosen if each not in self._known]:
            self._known |= self._run({}, missing)
        scores: list[TaskScore] = []
        errors = {}
        for modality, (made, _) in self._run(graphs, chosen).items():
            wanted, truths = self._known[modality]
            route = self._bundle.manifest.route(modality)
            trial = Trial(route=route, made=made, wanted=wanted, truths=truths)
            scores += task_scores(trial)
            errors[modality] = apart(made, wanted)
        return Verdict(scores=tuple(scores), errors=errors)

    def reached(self, part: str) -> set[str]:
        """Return the modalities that are judged and pass the part."""
        return {*self.modalities} & {*reached(self._bundle.manifest, part)}

    def _run(
        self, graphs: Mapping[str, Swap], modalities: Collection[str]
    ) -> dict[str, tuple[list[Outcome], list[Truth]]]:
        tap = Tap(self._bundle.manifest.language.decoder)
        model = opened(self._bundle, graphs, opens=tap.open, threads=self._terms.threads)
        try:
            return {each: _apart(self._outcomes(model, tap, each)) for each in modalities}
        finally:
            model.drop(None)

    def _outcomes(self, model: Model, tap: Tap, modality: str) -> Iterator[tuple[Outcome, Truth]]:
        route = self._bundle.manifest.route(modality)
        tokens = self._terms.tokens or self._bundle.manifest.language.generation.max_tokens
        for sample in islice(self._samples.samples(modality), self._terms.limit):
            with named(sample.where):
                ready = model.chain.prepared(modality, sample.value, Record())
                what = Asked(route=route, ready=ready, question=sample.question, tokens=tokens)
                made = outcome(model, tap, what)
            model.chain.clear()
            yield (
                made,
                Truth(
                    label=sample.label,
                    target=sample.target,
                    answer=sample.answer,
                    anchor=ready.anchor,
                ),
            )


def _apart(found: Iterator[tuple[Outcome, Truth]]) -> tuple[list[Outcome], list[Truth]]:
    pairs = list(found)
    return [made for made, _ in pairs], [truth for _, truth in pairs]
