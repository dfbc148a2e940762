"""The variant that a device takes unasked: the fastest that loses no more than it may."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from edgespark.calibration.sets import CalibrationSet
from edgespark.calibration.task_scores import TaskScore
from edgespark.export.chosen import choose, decided
from edgespark.export.pack import Draft
from edgespark.export.plan import Plan
from edgespark.runtime.manifest import Precision, Variant
from tests.export.packs import made as manifest

NARROW: tuple[Precision, ...] = ("int8", "int4")
SET = cast("CalibrationSet", object())
"""A set that nobody looks into."""


def score(
    value: float, *, n: int = 200, reference: float = 0.9, metric: str = "accuracy"
) -> TaskScore:
    return TaskScore(
        modality="rgb",
        task="answer",
        metric=metric,
        higher_is_better=metric == "accuracy",
        n=n,
        against="truth",
        value=value,
        reference=reference,
    )


MS = {"fp32": 4.0, "int8": 2.0, "int4": 1.0}


@pytest.mark.parametrize(
    ("int8", "int4", "variant"),
    [
        ([0.9], [0.9], "int4"),
        ([0.9], [0.891], "int4"),
        ([0.9], [0.9, 0.885], "int8"),
        ([0.95], [0.95], "int4"),
        ([0.88], [0.88], "fp32"),
    ],
)
def test_the_fastest_within_the_budget_is_taken(
    int8: list[float], int4: list[float], variant: str
) -> None:
    held = {"fp32": [], "int8": list(map(score, int8)), "int4": list(map(score, int4))}
    made = choose(MS, held, 1.0)
    assert made.variant == variant
    assert made.ms == MS
    assert made.lost["int4"] == pytest.approx(100 * (0.9 - min(int4)))
    assert made.why.startswith(f"{variant}, the fastest that loses at most 1: fp32 4.00 ms")


def test_one_sample_of_an_accuracy_says_nothing() -> None:
    few = {"fp32": [], "int4": [score(0.9 - 1 / 64, n=64)]}
    assert choose({"fp32": 2.0, "int4": 1.0}, few, 1.0).variant == "int4"
    two = {"fp32": [], "int4": [score(0.9 - 2 / 64, n=64)]}
    assert choose({"fp32": 2.0, "int4": 1.0}, two, 1.0).variant == "fp32"


def test_a_sample_that_was_not_held_against_a_variant_is_told() -> None:
    one, none = score(0.9 - 1 / 64, n=64), score(0.9, n=32)
    made = choose({"fp32": 2.0, "int4": 1.0}, {"fp32": [], "int4": [none, one]}, 1.0)
    assert made.why.endswith(
        "; int4 loses 1.56 in rgb answer, no more than one sample of 64, which alone says nothing"
    )
    assert "one sample" not in choose({"int4": 1.0}, {"int4": [none, one]}, 2.0).why
    two = score(0.9 - 2 / 64, n=64)
    assert (
        "one sample" not in choose({"fp32": 2.0, "int4": 1.0}, {"fp32": [], "int4": [two]}, 1).why
    )


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(), "without a calibration set there are no figures"),
        (Plan(calibration=SET), "without float graphs to judge against there are no figures"),
    ],
)
def test_a_rule_says_what_the_figures_lack(plan: Plan, told: str, tmp_path: Path) -> None:
    made = manifest("integers")
    graphs = {p.name: tuple(replace(g, precision="int8") for g in p.graphs) for p in made.parts}
    parts = tuple(replace(each, graphs=graphs[each.name]) for each in made.parts)
    int8, int4 = (Variant(name=p, precisions=dict.fromkeys(graphs, p)) for p in NARROW)
    narrow = replace(made, parts=parts, variants=(int8, int4), preferred={"cpu": "int8"})
    draft = Draft(place=tmp_path / "out", root=tmp_path, replace=False)
    (choice,) = decided(narrow, draft, plan).manifest.evidence.choices
    assert choice.why.startswith(f"int8, by rule: {told}")
    assert not choice.ms


def test_an_error_may_grow_by_so_many_per_cent() -> None:
    def taken(value: float) -> str:
        held = {"fp32": [], "int4": [score(value, n=8, reference=2.0, metric="ADE")]}
        return choose({"fp32": 2.0, "int4": 1.0}, held, 1.0).variant

    assert taken(2.01) == "int4"
    assert taken(2.03) == "fp32"
    assert taken(float("inf")) == "fp32"


def test_of_what_is_about_as_fast_the_better_is_taken() -> None:
    held = {"fp32": [], "int8": [score(0.899)], "int4": [score(0.895)]}
    assert choose({"fp32": 4.0, "int8": 1.02, "int4": 1.0}, held, 1.0).variant == "int8"
    assert choose({"fp32": 1.02, "int8": 1.02, "int4": 1.0}, held, 1.0).variant == "fp32"


def test_where_all_lose_more_the_least_loss_is_taken_and_said() -> None:
    made = choose({"int8": 2.0, "int4": 1.0}, {"int8": [score(0.8)], "int4": [score(0.7)]}, 1.0)
    assert made.variant == "int8"
    assert made.why.startswith("int8, which loses least, though more than 1: int8 2.00 ms a step")
