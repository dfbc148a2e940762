"""The synthetic world is a pure function of its seeds, and physically sane."""

import dataclasses
from typing import get_args

import numpy as np
import pytest

from edgespark.export.objectives import normalise
from edgespark.export.worlds.covers import COVERS, NAMES, SENTINEL_1, SENTINEL_2, Pattern
from edgespark.export.worlds.dataset import HELD_OUT, TRAIN, gather, make
from edgespark.export.worlds.scenes import Scene, scene, texture
from edgespark.export.worlds.sensors import SENSORS
from edgespark.export.worlds.tokens import train_tokenizer
from edgespark.export.worlds.words import CHECKS, QUESTIONS, answer, dialogue, note
from edgespark.runtime.inputs import prepare
from edgespark.runtime.manifest import Route


def same(first: Scene, second: Scene) -> bool:
    pairs = zip(dataclasses.astuple(first), dataclasses.astuple(second), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_a_scene_is_a_pure_function_of_stream_and_index() -> None:
    assert same(scene(5, 17), scene(5, 17))
    assert not same(scene(5, 17), scene(5, 18))
    assert not same(scene(TRAIN, 17), scene(HELD_OUT, 17))


def test_many_scenes_at_once_are_the_same_as_one_after_the_other() -> None:
    together, apart = gather(9, 5), make(9, 0, 5)
    for field in dataclasses.fields(together):
        assert np.array_equal(getattr(together, field.name), getattr(apart, field.name))


def test_shares_sum_to_one_and_the_main_cover_has_most() -> None:
    for index in range(40):
        shares = scene(6, index).shares
        assert shares.sum() == pytest.approx(1)
        assert shares.max() > 0.5
        assert (shares > 0).sum() == 3


def test_sensors_are_co_registered_and_within_their_physical_range() -> None:
    for index in range(20):
        made = scene(7, index)
        assert (made.rgb.shape, made.msi.shape, made.sar.shape) == (
            (3, 64, 64),
            (12, 64, 64),
            (2, 64, 64),
        )
        assert 1 <= made.msi.min() <= made.msi.max() <= 16000
        assert -40 <= made.sar.min() <= made.sar.max() < 20


def test_every_cover_is_described_for_every_band_and_knows_its_neighbours() -> None:
    assert len(COVERS) >= 8
    for cover in COVERS:
        assert len(cover.reflectance) == len(SENTINEL_2)
        assert len(cover.backscatter) == len(SENTINEL_1)
        assert set(cover.near) <= set(NAMES) - {cover.name}


@pytest.mark.parametrize("pattern", get_args(Pattern))
def test_textures_are_about_standard(pattern: Pattern) -> None:
    rng = np.random.default_rng(3)
    made = np.stack([texture(rng, pattern) for _ in range(20)])
    assert made.shape == (20, 64, 64)
    assert abs(made.mean()) < 0.2
    assert 0.5 < made.std() < 1.6


def test_a_no_is_only_said_of_another_cover() -> None:
    rng = np.random.default_rng(4)
    talks = [dialogue(rng, 2) for _ in range(300)]
    for talk in talks:
        assert talk.answer.endswith(answer(2))
        if talk.answer.startswith("no"):
            assert NAMES[2] not in talk.question
    asked = {talk.question for talk in talks}
    assert len(asked & set(QUESTIONS)) == len(QUESTIONS)
    assert any(talk.question.startswith(CHECKS[0][:8]) for talk in talks)


def test_notes_are_pure_and_vary() -> None:
    shares = scene(8, 1).shares
    assert note(1, 5, shares) == note(1, 5, shares)
    assert len({note(1, index, shares) for index in range(50)}) > 40


def test_every_byte_survives_the_tokenizer() -> None:
    tokenizer = train_tokenizer(640, ("optical image:",))
    text = "snow ❄ and ümläuts\nand \x00 bytes"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode("LAND").ids == tokenizer.encode("land").ids


@pytest.mark.parametrize("modality", ["rgb", "msi", "sar"])
def test_training_prepares_rasters_as_the_runtime_does(modality: str) -> None:
    made = make(10, 0, 3)
    route = Route(
        modality=modality, preprocessing=SENSORS[modality], wires=(), output="a.b", prompt=""
    )
    raw = getattr(made, modality)
    for row, ready in zip(raw, normalise(modality, raw), strict=True):
        prepared = prepare(route, row, lambda _: [])
        assert np.allclose(prepared.arrays["pixels"][0], ready, atol=1e-5)
