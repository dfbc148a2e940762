"""Heads that a manifest made in Python may have, and no JSON; what JSON may is in `attacks`."""

from dataclasses import replace
from math import inf, nan, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime import _check, _check_heads
from edgespark.runtime.manifest import Head, Manifest, Route
from tests.runtime.kinds import SERIES
from tests.runtime.stand_in import StandIn, head

NAME = "trajectory"


def problems(manifest: Manifest) -> list[str]:
    return list(_check_heads.problems(manifest))


def changed(made: Manifest, **changes: Any) -> Manifest:  # noqa: ANN401 fields of a head
    """Return the manifest with another head of the forecast."""

    def of(route: Route) -> Route:
        if route.modality != NAME or route.head is None:
            return route
        return replace(route, head=replace(route.head, **changes))

    return replace(made, routes=tuple(map(of, made.routes)))


def with_part(made: Manifest, name: str, **changes: Any) -> Manifest:  # noqa: ANN401 fields of a part
    parts = [replace(p, **changes) if p.name == name else p for p in made.parts]
    return replace(made, parts=tuple(parts))


def test_an_honest_manifest_has_no_problem(stand_in: StandIn) -> None:
    assert _check.problems(stand_in.manifest) == []


def test_a_series_anchors_a_forecast_at_each_of_its_nodes(stand_in: StandIn) -> None:
    made = with_part(stand_in.manifest, "walk", outputs=head("walk", 4).outputs)
    made = changed(made, shape=(2, 2), metrics=("MAE",))
    routes = [replace(r, preprocessing=SERIES) if r.modality == NAME else r for r in made.routes]
    assert problems(replace(made, routes=tuple(routes))) == []
    wider = replace(SERIES, nodes=("north", "south", "east"))
    routes = [replace(r, preprocessing=wider) if r.modality == NAME else r for r in made.routes]
    (told,) = problems(replace(made, routes=tuple(routes)))
    assert told.endswith("needs an anchor of shape [2, 2], the input has one of shape [2, 3]")


@pytest.mark.parametrize("scale", [nan, inf, -inf, 0.0, -0.0, 3.5e38])
def test_a_scale_that_makes_no_finite_value_is_a_problem(stand_in: StandIn, scale: float) -> None:
    (told,) = problems(changed(stand_in.manifest, scale=scale))
    assert ".head.scale: must be a float32 other than 0, got " in told


@pytest.mark.parametrize("scale", [1.0, -2.5, 1e-30, 3.4e38])
def test_any_other_scale_will_do(stand_in: StandIn, scale: float) -> None:
    assert problems(changed(stand_in.manifest, scale=scale)) == []


def test_a_head_of_an_unknown_part_is_told_once(stand_in: StandIn) -> None:
    (told,) = problems(changed(stand_in.manifest, part="ghost"))
    assert ".head.part: no part 'ghost'; there are: " in told


@pytest.mark.parametrize("outputs", [(), (replace(head("walk", 6).outputs[0], axes=()),)])
def test_a_part_without_scores_is_left_to_the_check_of_parts(
    stand_in: StandIn, outputs: tuple[Any, ...]
) -> None:
    made = with_part(stand_in.manifest, "walk", outputs=outputs)
    assert problems(made) == []
    assert any("'scores'" in each for each in _check.problems(made))


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=4))
def test_a_shape_is_taken_where_it_holds_all_values_and_nothing_else(shape: list[int]) -> None:
    made = changed(StandIn().manifest, shape=tuple(shape), anchored=False, metrics=())
    holds = prod(shape) == 6 and min(shape) > 0
    assert (problems(made) == []) == holds


def test_a_classification_with_what_only_a_regression_has_is_told_by_field() -> None:
    label = Head(part="head_rgb", task="classification", prompt="", labels=("a", "b", "c"))
    odd = replace(label, shape=(3,), scale=2.0, unit="m", anchored=True, metrics=("MAE",))
    made = StandIn().manifest
    routes = [replace(r, head=odd) if r.modality == "rgb" else r for r in made.routes]
    told = problems(replace(made, routes=tuple(routes)))
    assert [each.split(": ")[0].rpartition(".")[2] for each in told] == [
        "shape",
        "scale",
        "unit",
        "anchored",
        "metrics",
    ]
