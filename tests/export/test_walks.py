"""Synthetic walks: pure, labelled by what they do, and not to be told from the last step alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.export.worlds.walks import FAR, NOISE, TRACKS, WALK, Walk, walk
from edgespark.runtime.tracks.prepare import prepare_tracks

COUNT = 300
SIDES = {"turns left": 1, "turns right": -1}


@pytest.fixture(scope="module")
def walks() -> list[Walk]:
    return [walk(np.random.default_rng(seed)) for seed in range(COUNT)]


def ahead(each: Walk) -> NDArray[np.float64]:
    return each.tracks[0, TRACKS.observed - 1 :]


def test_a_walk_is_a_pure_function_of_its_generator(walks: list[Walk]) -> None:
    again = walk(np.random.default_rng(3))
    np.testing.assert_array_equal(again.tracks, walks[3].tracks)
    assert again.label == walks[3].label
    assert not np.array_equal(walks[3].tracks[0], walks[4].tracks[0])


def test_the_agent_is_always_there_and_others_wholly_or_not_at_all(walks: list[Walk]) -> None:
    shape = (TRACKS.agents, TRACKS.observed + TRACKS.predicted, 2)
    for each in walks:
        assert each.tracks.shape == shape
        assert each.tracks.dtype == np.float64
        absent = np.asarray(np.isnan(each.tracks).any((1, 2)))
        assert not absent[0]
        assert np.isnan(each.tracks[absent]).all()


def test_company_comes_in_every_number(walks: list[Walk]) -> None:
    numbers = {int((~np.isnan(each.tracks[:, 0, 0])).sum()) for each in walks}
    assert numbers == set(range(1, TRACKS.agents + 1))


def test_labels_are_about_equally_frequent(walks: list[Walk]) -> None:
    counts = np.bincount([each.label for each in walks], minlength=len(WALK.classes))
    assert counts.min() > COUNT / len(WALK.classes) / 1.5


def turned(path: NDArray[np.float64]) -> float:
    """Tell by how many degrees a path turns to the left."""
    first, last = path[1] - path[0], path[-1] - path[-3]
    cross = first[0] * last[1] - first[1] * last[0]
    return float(np.degrees(np.arctan2(cross, first @ last)))


def test_a_label_says_what_the_future_does(walks: list[Walk]) -> None:
    angles = []
    for each in walks:
        path, kind = ahead(each), WALK.classes[each.label]
        end = np.linalg.norm(path[-1] - path[-3])
        if kind == "stops":
            assert end < 12 * NOISE
        else:
            assert end > 12 * NOISE
        if kind.startswith("turns"):
            assert turned(path) * SIDES[kind] > -2  # degrees: next to nothing may be left of a turn
            angles.append(turned(path) * SIDES[kind])
        if kind == "goes straight on":
            aside = path - path[0]
            aim = aside[-1] / np.linalg.norm(aside[-1])
            assert np.abs(aside @ [-aim[1], aim[0]]).max() < 1.5
    assert np.quantile(angles, 0.05) > 15


def test_worlds_have_their_origin_anywhere(walks: list[Walk]) -> None:
    places = np.stack([each.tracks[0, 0] for each in walks])
    assert np.abs(places).max() > 0.9 * FAR
    assert np.abs(places.mean(0)).max() < FAR / 5


def test_no_heading_is_preferred(walks: list[Walk]) -> None:
    steps = np.stack([each.tracks[0, 4] - each.tracks[0, 0] for each in walks])
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    assert np.hypot(np.cos(angles).mean(), np.sin(angles).mean()) < 0.15


def test_the_past_tells_more_than_its_last_velocity(walks: list[Walk]) -> None:
    """A nearest neighbour among other walks, seen from the agent, beats going straight on."""
    pasts, rests, straight = [], [], []
    for each in walks:
        own = each.tracks[0]
        step = own[7] - own[4]
        cosine, sine = step / np.linalg.norm(step)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        pasts.append((own[:8] - own[7]) @ turn)
        rests.append((own[8:] - own[7]) @ turn)
        anchor = prepare_tracks(TRACKS, each.tracks[:, :8]).anchor
        straight.append(np.linalg.norm(own[8:] - anchor, axis=1).mean())
    past, rest = np.stack(pasts).reshape(COUNT, -1), np.stack(rests)
    apart = np.linalg.norm(past[:, None] - past[None], axis=2) + np.diag(np.full(COUNT, np.inf))
    guessed = rest[np.argsort(apart, axis=1)[:, :3]].mean(1)
    assert np.linalg.norm(guessed - rest, axis=2).mean() < 0.6 * np.mean(straight)


def test_every_sentence_of_the_subject_can_be_said() -> None:
    rng = np.random.default_rng(1)
    assert WALK.questions[0] == "Where does it go?"
    assert WALK.told(0) == "it turns left."
    talks = [WALK.dialogue(rng, 3) for _ in range(200)]
    assert {talk.question for talk in talks} > set(WALK.questions)
    assert all(talk.answer.endswith("it stops.") for talk in talks)
