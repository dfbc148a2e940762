"""Spend a budget: which layers of INT8 graphs go back to float32, so that scores hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgespark.calibration.chain import Swap
from edgespark.calibration.judge import Judge
from edgespark.calibration.sets import CalibrationSet
from edgespark.engines.budget import Candidate, Question, judged, search
from edgespark.engines.int8 import Ready, ready
from edgespark.engines.layers import Layer
from edgespark.engines.sensitivity import sensitivities
from edgespark.export.pack import Draft
from edgespark.export.placing import Lowered, Placed, Traced, place
from edgespark.export.precisions import BY_WEIGHT
from edgespark.runtime.bundle import Bundle

MOST = 0.01
"""Of a standard deviation at the end of the chain, that a layer may add: of allspark-tiny's 262
layers the median adds 0.0005, and half a dozen more than this; with those in INT8 point clouds lost
3.5 points on samples held out, where the 128 of the search had shown none of it."""
TRIED = "left out of this try"


@dataclass(frozen=True)
class Narrow:
    """A part whose layers may be int8, each on its own."""

    ready: Ready

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that become int8 where none is kept, by name."""
        return {each.name: each for each in self.ready.layers if not each.reason}

    def wide(self, layers: frozenset[str]) -> Swap:
        """Return the graph in which these layers are float32, and all others int8."""
        model, _ = self.ready.graph(dict.fromkeys(layers, TRIED))
        return Swap(graph=model.SerializeToString())

    def alone(self, layer: str) -> Swap:
        """Return the graph in which this layer alone is int8."""
        return self.wide(frozenset(self.layers) - {layer})


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What a budget is spent on: the float chain, the set that judges it, the budget in points."""

    reference: Bundle
    samples: CalibrationSet
    budget: float


def spend(
    spending: Spending, stages: Sequence[Traced], lowered: Mapping[str, Lowered], draft: Draft
) -> dict[str, Lowered]:
    """Measure what each layer adds end to end; keep float32 those that the budget cannot bear.

    The LLM's weights are int8 throughout. CheckError, with the best mix that was found, where the
    budget cannot be met.
    """
    narrow = dict(_narrow(stages, lowered))
    added = sensitivities(
        spending.reference,
        spending.samples,
        {name: tuple(part.layers) for name, part in narrow.items()},
        lambda part, layer: narrow[part].alone(layer),
    )
    judge = Judge(spending.reference, spending.samples)
    question = Question(
        candidates=[
            Candidate(part=name, layer=layer, added=error, work=narrow[name].layers[layer].work)
            for name, errors in added.items()
            for layer, error in errors.items()
        ],
        reached={name: judge.reached(name) for name in narrow},
        budget=spending.budget,
        most=MOST,
    )
    fixed = dict(_fixed(stages, lowered, draft))
    mix = search(question, judged(judge, narrow, lambda part, wide: narrow[part].wide(wide), fixed))
    return {
        name: _kept(each, narrow.get(name), mix.kept.get(name, {}), added.get(name, {}))
        for name, each in lowered.items()
    }


def _narrow(
    stages: Sequence[Traced], lowered: Mapping[str, Lowered]
) -> Iterator[tuple[str, Narrow]]:
    for each in stages:
        lowering = lowered[each.stage.name].lowering
        if each.stage.role not in BY_WEIGHT and lowering.calibration is not None:
            made = ready(each.model(), lowering.calibration, lowering.how)
            yield each.stage.name, Narrow(made)


def _fixed(
    stages: Sequence[Traced], lowered: Mapping[str, Lowered], draft: Draft
) -> Iterator[tuple[str, Swap]]:
    """Make the LLM's int8 graphs, which the search takes as they are."""
    for each in stages:
        if each.stage.role in BY_WEIGHT:
            placed = place(each, "int8", draft, None, lowered[each.stage.name].lowering)
            yield each.stage.name, swapped(placed, draft)


def swapped(placed: Placed, draft: Draft) -> Swap:
    """Return what puts a graph of a draft in the place of a reference."""
    return Swap(
        graph=placed.content,
        folder=draft.root / "graphs" if placed.data else None,
        data=tuple(Path(file.path).name for file in placed.data),
        states=placed.states or None,
    )


def _kept(
    lowered: Lowered, narrow: Narrow | None, reasons: Mapping[str, str], added: Mapping[str, float]
) -> Lowered:
    how = lowered.lowering.how
    lowering = replace(
        lowered.lowering,
        how=replace(how, keep={**how.keep, **reasons}),
        ready=None if narrow is None else narrow.ready,
    )
    return Lowered(lowering=lowering, added=added)
