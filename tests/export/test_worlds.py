"""The synthetic world is a pure function of its seeds, and physically sane."""

import dataclasses
from typing import get_args

import numpy as np
import pytest

from edgespark.export.augment import MOVES, Symmetry
from edgespark.export.models.tiny import TINY
from edgespark.export.objectives import prepared
from edgespark.export.worlds.covers import COVERS, NAMES, SENTINEL_1, SENTINEL_2, Pattern
from edgespark.export.worlds.dataset import gather, make
from edgespark.export.worlds.ground import ground, texture
from edgespark.export.worlds.sensors import SENSORS
from edgespark.export.worlds.tokens import train_tokenizer
from edgespark.export.worlds.words import note
from edgespark.export.worlds.world import ASKED, RECORDS, SUBJECTS, sample
from edgespark.runtime.inputs import READERS
from edgespark.runtime.preprocessing import Text
from edgespark.runtime.starts import starts


def test_many_scenes_at_once_are_the_same_as_one_after_the_other() -> None:
    together, apart = gather(9, 5), make(9, 0, 5)
    for field in dataclasses.fields(together):
        one, other = getattr(together, field.name), getattr(apart, field.name)
        assert one.keys() == other.keys()
        for name, array in one.items():
            assert array.tolist() == other[name].tolist() or np.array_equal(
                array, other[name], equal_nan=True
            )


def test_every_modality_and_subject_is_in_every_sample() -> None:
    made = sample(12, 3)
    assert set(made.raw) == set(RECORDS) == set(ASKED) == set(TINY.modalities)
    assert set(made.label) == set(SUBJECTS) == set(ASKED.values())
    for name, record in RECORDS.items():
        if not isinstance(record, Text):
            ports = starts(record)
            arrays = READERS[type(record)](record, made.raw[name], lambda _: []).arrays
            assert {p.name: tuple(a.high for a in p.axes) for p in ports} == {
                name: array.shape for name, array in arrays.items()
            }


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


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_no_is_only_said_of_another_class(name: str) -> None:
    rng, subject = np.random.default_rng(4), SUBJECTS[name]
    talks = [subject.dialogue(rng, 1) for _ in range(300)]
    for talk in talks:
        assert talk.answer.endswith(subject.told(1))
        if talk.answer.startswith("no"):
            assert subject.classes[1] not in talk.question
    asked = {talk.question for talk in talks}
    assert len(asked & set(subject.questions)) == len(subject.questions)
    assert any(talk.question.startswith(subject.checks[0][:8]) for talk in talks)


def test_notes_are_pure_and_vary() -> None:
    shares = ground(8, 1).shares
    assert note(1, 5, shares) == note(1, 5, shares)
    assert len({note(1, index, shares) for index in range(50)}) > 40


def test_every_byte_survives_the_tokenizer() -> None:
    tokenizer = train_tokenizer(640, ("optical image:",))
    text = "snow ❄ and ümläuts\nand \x00 bytes"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode("LAND").ids == tokenizer.encode("land").ids


@pytest.mark.parametrize("modality", SENSORS)
def test_training_prepares_rasters_as_the_runtime_does(modality: str) -> None:
    made, record = make(10, 0, 3), SENSORS[modality]
    (ready,) = prepared(made, modality, np.arange(3))
    for row, wanted in zip(made.raw[modality], ready, strict=True):
        (given,) = READERS[type(record)](record, row, lambda _: []).arrays.values()
        assert np.allclose(given[0], wanted, atol=1e-4)


def test_a_symmetry_changes_no_distance() -> None:
    rng = np.random.default_rng(0)
    made = make(13, 0, 2)
    for name in ("point_cloud", "trajectory"):
        arrays = prepared(made, name, np.arange(2))
        moved = MOVES[name](Symmetry.draw(rng), arrays)
        for one, other in zip(arrays[:2], moved[:2], strict=True):
            lengths, moved_lengths = (np.linalg.norm(each, axis=-1) for each in (one, other))
            assert np.allclose(lengths, moved_lengths, atol=1e-5)
    mirrored = Symmetry(turns=0, mirrored=True, angle=0.0)
    (turned,) = MOVES["oblique"](mirrored, (made.raw["oblique"],))
    assert np.array_equal(turned, made.raw["oblique"][..., ::-1])
