"""Synthetic traffic: pure, labelled by what it does, with a course that can be learned."""

import numpy as np
import pytest

from edgespark.export.worlds.flows import (
    DISTANCES,
    EDGES,
    FLOW,
    LEVEL,
    NODES,
    PREDICTED,
    SERIES,
    STEPS,
    Flow,
    flow,
    trend,
    usual,
)
from edgespark.runtime.series.prepare import prepare_series

COUNT = 300
SUNDAY, MONDAY = 6, 0


@pytest.fixture(scope="module")
def flows() -> list[Flow]:
    return [flow(np.random.default_rng(seed)) for seed in range(COUNT)]


def test_a_flow_is_a_pure_function_of_its_generator(flows: list[Flow]) -> None:
    again = flow(np.random.default_rng(3))
    np.testing.assert_array_equal(again.series, flows[3].series)
    assert again.label == flows[3].label
    assert not np.array_equal(flows[3].series, flows[4].series)


def test_the_runtime_takes_the_past_as_it_is(flows: list[Flow]) -> None:
    for each in flows:
        assert each.series.shape == (STEPS + PREDICTED, len(NODES), 3)
        prepared = prepare_series(SERIES, each.series[:STEPS])
        assert np.abs(prepared.arrays["series"]).max() < 10


def test_time_goes_forwards_over_midnight(flows: list[Flow]) -> None:
    for each in flows:
        time, day = each.series[:, 0, 1], each.series[:, 0, 2]
        passed = (np.diff(time) + np.diff(day)) % 7
        np.testing.assert_allclose(passed * 86400, SERIES.interval, atol=1e-6)
    assert any(each.series[0, 0, 2] != each.series[-1, 0, 2] for each in flows)


def test_mean_and_deviation_are_those_of_the_record(flows: list[Flow]) -> None:
    values = np.stack([each.series[..., 0] for each in flows])
    assert values.min() >= 0
    assert values.mean() == pytest.approx(SERIES.mean, rel=0.1)
    assert values.std() == pytest.approx(SERIES.std, rel=0.1)


def test_labels_are_about_equally_frequent(flows: list[Flow]) -> None:
    counts = np.bincount([each.label for each in flows], minlength=len(FLOW.classes))
    assert counts.min() > COUNT / len(FLOW.classes) / 1.3


def test_a_label_says_what_the_mean_flow_does(flows: list[Flow]) -> None:
    right = []
    for each in flows:
        values = each.series[..., 0]
        right.append(trend(values[STEPS:].mean() / values[:STEPS].mean() - 1) == each.label)
    assert np.mean(right) > 0.98


def test_a_change_up_to_the_level_counts_as_none() -> None:
    told = [FLOW.classes[trend(change)] for change in (-0.5, -LEVEL, 0, LEVEL, 0.5)]
    assert told == ["falls", "stays level", "stays level", "stays level", "rises"]


def test_the_usual_course_tells_much_more_than_the_last_value(flows: list[Flow]) -> None:
    last, learned = [], []
    for each in flows:
        clock = np.rint(each.series[:, 0, 1] * 288).astype(np.int64)
        course = usual(clock, each.series[:, 0, 2].astype(np.int64))
        values = each.series[..., 0]
        share = values[:STEPS].sum() / course[:STEPS].sum()
        last.append(np.abs(values[STEPS:] - values[STEPS - 1]).mean())
        learned.append(np.abs(values[STEPS:] - share * course[STEPS:]).mean())
    assert np.mean(learned) < 0.6 * np.mean(last)


def test_a_weekend_is_quieter_above_all_in_the_morning() -> None:
    clock = np.arange(288)
    sunday, monday = (usual(clock, np.full(288, day)) for day in (SUNDAY, MONDAY))
    assert sunday.mean() < 0.9 * monday.mean()
    eight = 8 * 12
    assert monday[eight].sum() > 1.8 * sunday[eight].sum()


def test_every_node_has_a_road_and_distances_go_downstream() -> None:
    assert {node for edge in EDGES for node in edge} == set(NODES)
    for one, other in EDGES:
        assert DISTANCES[NODES.index(one), NODES.index(other)] == 1
        assert DISTANCES[NODES.index(other), NODES.index(one)] == -1
    assert DISTANCES[NODES.index("north gate"), NODES.index("south gate")] == 3


def test_every_sentence_of_the_subject_can_be_said() -> None:
    rng = np.random.default_rng(1)
    assert FLOW.questions[0] == "How does the flow change?"
    assert FLOW.told(2) == "the flow stays level."
    talks = [FLOW.dialogue(rng, 0) for _ in range(200)]
    assert {talk.question for talk in talks} > set(FLOW.questions)
