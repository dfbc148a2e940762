from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespark.calibration.chain import Swap
from edgespark.calibration.judge import Judge, Terms
from edgespark.calibration.sets import Sample
from edgespark.engines.budget import Candidate, Mix, Question, judged, search
from edgespark.engines.sensitivity import sensitivities
from edgespark.runtime.errors import CheckError, UsageError
from tests.calibration.small_chain import Drawn, graph, image, small

REACHED = {"eye": ["rgb"], "ear": ["sound"], "bridge": ["rgb", "sound"], "head": ["sound"]}
ROUNDING = 1e-9


@dataclass
class Harm:
    """A judge that adds up what each narrow layer that a modality passes costs it."""

    candidates: list[Candidate]
    costs: Mapping[Candidate, float]
    base: Mapping[str, float] = field(default_factory=dict)
    asked: list[tuple[object, object]] = field(default_factory=list)

    def __call__(
        self, wide: Mapping[str, frozenset[str]], modalities: Collection[str]
    ) -> dict[str, float]:
        self.asked.append((dict(wide), list(modalities)))
        return {each: self.of(each, wide) for each in modalities}

    def of(self, modality: str, wide: Mapping[str, frozenset[str]]) -> float:
        return self.base.get(modality, 0.0) + sum(
            self.costs[each]
            for each in self.candidates
            if modality in REACHED[each.part] and each.layer not in wide.get(each.part, ())
        )

    def cheapest(self, budget: float) -> int | None:
        """Return the least work left wider with which all hold, by trying every mix."""
        found = []
        for chosen in chain.from_iterable(
            combinations(self.candidates, n) for n in range(len(self.candidates) + 1)
        ):
            wide = by_part(chosen)
            if all(self.of(each, wide) <= budget for each in ("rgb", "sound")):
                found.append(sum(each.work for each in chosen))
        return min(found, default=None)


def by_part(chosen: Collection[Candidate]) -> dict[str, frozenset[str]]:
    return {c.part: frozenset(d.layer for d in chosen if d.part == c.part) for c in chosen}


def layer(part: str, name: str, added: float, work: int = 1) -> Candidate:
    return Candidate(part=part, layer=name, added=added, work=work)


def question(candidates: list[Candidate], budget: float) -> Question:
    return Question(candidates=candidates, reached=REACHED, budget=budget)


def work(mix: Mix, candidates: list[Candidate]) -> int:
    return sum(c.work for c in candidates if c.layer in mix.kept.get(c.part, {}))


FOUR = [
    layer("eye", "a", 0.5),
    layer("eye", "b", 0.1),
    layer("ear", "c", 0.2),
    layer("bridge", "d", 0.3),
]


def test_nothing_is_given_back_where_everything_narrow_holds() -> None:
    harm = Harm(FOUR, dict.fromkeys(FOUR, 0.2))
    mix = search(question(FOUR, 1.0), harm)
    assert (mix.kept, mix.evaluations, mix.narrow) == ({}, 1, 1.0)
    assert mix.drops == pytest.approx({"rgb": 0.6, "sound": 0.4})
    assert mix.drop == pytest.approx(0.6)


def test_one_culprit_is_found_and_told() -> None:
    harm = Harm(FOUR, {**dict.fromkeys(FOUR, 0.1), FOUR[0]: 5.0})
    mix = search(question(FOUR, 1.0), harm)
    told = "adds 0.5 of a standard deviation end to end; given back for a budget of 1 points"
    assert mix.kept == {"eye": {"a": told}}
    assert mix.narrow == 0.75
    assert mix.evaluations == len(harm.asked)


def test_layers_of_shared_parts_come_after_a_modalitys_own() -> None:
    harm = Harm(FOUR, {**dict.fromkeys(FOUR, 0.1), FOUR[3]: 5.0})
    assert set(search(question(FOUR, 1.0), harm).kept) == {"bridge"}
    harm = Harm(FOUR, dict.fromkeys(FOUR, 0.6))
    kept = search(question(FOUR, 1.0), harm).kept
    assert set(kept) == {"eye", "ear"}


def test_only_the_modalities_that_a_change_concerns_are_judged_again() -> None:
    harm = Harm(FOUR, {**dict.fromkeys(FOUR, 0.1), FOUR[0]: 5.0})
    search(question(FOUR, 1.0), harm)
    assert [modalities for _, modalities in harm.asked[1:]] == [["rgb"]] * (len(harm.asked) - 1)


def test_a_budget_that_cannot_be_met_tells_the_best_found() -> None:
    harm = Harm(FOUR, dict.fromkeys(FOUR, 5.0), base={"sound": 1.5})
    with pytest.raises(CheckError) as error:
        search(question(FOUR, 1.0), harm)
    assert error.value.exit_code == 5
    told = str(error.value)
    assert "no mix of these layers keeps the budget of 1 points" in told
    assert f"best of {len(harm.asked)} that were judged loses 1.5 (sound)" in told
    assert "layers left wider (" in told
    assert "ear: c" in told


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(budget: float) -> None:
    with pytest.raises(UsageError, match=r"a budget of .* cannot be"):
        search(question(FOUR, budget), Harm(FOUR, dict.fromkeys(FOUR, 0.0)))


def test_a_layer_whose_error_is_infinite_goes_first() -> None:
    candidates = [layer("eye", "a", float("inf"), 10**9), *FOUR[1:]]
    harm = Harm(candidates, {**dict.fromkeys(candidates, 0.1), candidates[0]: float("inf")})
    assert set(search(question(candidates, 1.0), harm).kept) == {"eye"}


COSTS = st.integers(0, 8).map(lambda n: n / 4)
LAYERS = st.lists(
    st.tuples(st.sampled_from(sorted(REACHED)), st.integers(1, 5), COSTS), min_size=1, max_size=7
)


@given(drawn_layers=LAYERS, base=COSTS, budget=st.integers(0, 8).map(lambda n: n / 4))
@settings(max_examples=150, deadline=None)
def test_a_mix_is_found_where_there_is_one_and_no_layer_of_it_can_go(
    drawn_layers: list[tuple[str, int, float]], base: float, budget: float
) -> None:
    candidates = [layer(p, f"{i}", cost, w) for i, (p, w, cost) in enumerate(drawn_layers)]
    costs = {each: each.added for each in candidates}
    harm = Harm(candidates, costs, base={"rgb": base})
    least = harm.cheapest(budget)
    if least is None:
        with pytest.raises(CheckError):
            search(question(candidates, budget), harm)
        return
    mix = search(question(candidates, budget), harm)
    assert mix.drop <= budget + ROUNDING
    wide = [c for c in candidates if c.layer in mix.kept.get(c.part, {})]
    assert work(mix, candidates) >= least
    for each in wide:
        fewer = by_part([c for c in wide if c is not each])
        assert any(harm.of(m, fewer) > budget for m in ("rgb", "sound"))
    assert mix == search(question(candidates, budget), Harm(candidates, costs, {"rgb": base}))


@given(costs=st.lists(st.integers(0, 20), min_size=1, max_size=8), budget=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_with_equal_work_and_true_sensitivities_the_mix_is_the_cheapest(
    costs: list[int], budget: int
) -> None:
    candidates = [layer("eye", f"{i}", cost) for i, cost in enumerate(costs)]
    harm = Harm(candidates, {each: each.added for each in candidates})
    mix = search(question(candidates, float(budget)), harm)
    assert work(mix, candidates) == harm.cheapest(float(budget))


def test_a_real_chain_gets_back_the_layer_that_breaks_it(tmp_path: Path) -> None:
    bundle = small(tmp_path / "bundle")
    photos = [Sample(value=image(i), where=f"photo {i}") for i in range(4)]
    samples = Drawn({"rgb": photos})
    harms = {
        ("encoder_rgb", "kernel"): 1.001,
        ("encoder_rgb", "turn"): -1.0,
        ("bridge", "weight"): 1.0,
    }
    parts = {part: [n for p, n in harms if p == part] for part, _ in harms}

    def make(part: str, wide: frozenset[str]) -> Swap:
        return Swap(graph=graph(part, **{n: harms[part, n] for n in parts[part] if n not in wide}))

    def alone(part: str, name: str) -> Swap:
        return make(part, frozenset(parts[part]) - {name})

    added = sensitivities(bundle, samples, parts, alone)
    judge = Judge(bundle, samples, Terms(tokens=4))
    asked = Question(
        candidates=[layer(p, n, added[p][n], 10) for p, n in harms],
        reached={part: judge.reached(part) for part in parts},
        budget=1.0,
    )
    mix = search(asked, judged(judge, parts, make))
    assert {part: list(layers) for part, layers in mix.kept.items()} == {"encoder_rgb": ["turn"]}
    assert mix.drop <= 1
