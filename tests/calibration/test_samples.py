"""Sample sets keep their columns together, and pack to the same bytes every time."""

import io
from dataclasses import replace

import numpy as np
import pytest

from edgespark.calibration.arrays import npz
from edgespark.calibration.samples import SampleSet


def made(count: int = 3, labels: int | None = None) -> SampleSet:
    return SampleSet(
        modality="rgb",
        input=np.arange(count * 4, dtype=np.uint8).reshape(count, 1, 2, 2),
        label=np.arange(count if labels is None else labels),
        question=np.array(["what?"] * count),
        answer=np.array(["this"] * count),
    )


def test_what_is_packed_is_read_back_without_pickle() -> None:
    packed = np.load(io.BytesIO(made().packed()), allow_pickle=False)
    assert sorted(packed.files) == ["answer", "input", "label", "question"]
    assert np.array_equal(packed["input"], made().input)
    assert packed["answer"].tolist() == ["this"] * 3


def test_a_regression_has_targets_in_the_place_of_labels() -> None:
    target = np.ones((3, 12, 2), np.float32)
    packed = np.load(io.BytesIO(replace(made(), label=None, target=target).packed()))
    assert sorted(packed.files) == ["answer", "input", "question", "target"]
    assert np.array_equal(packed["target"], target)


def test_a_set_may_have_only_questions_and_answers() -> None:
    packed = np.load(io.BytesIO(replace(made(), label=None).packed()))
    assert sorted(packed.files) == ["answer", "input", "question"]


def test_a_target_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="rgb: a target is not finite"):
        replace(made(), target=np.array([0.0, np.nan, 0.0]))


def test_targets_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rgb: columns of \[1, 3\] samples"):
        replace(made(), target=np.zeros(1))


def test_equal_arrays_give_equal_bytes() -> None:
    assert made().packed() == made().packed()


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rgb: columns of \[2, 3\] samples"):
        made(labels=2)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        made(count=0)


def test_objects_are_refused() -> None:
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        npz({"bad": np.array([object()])})
