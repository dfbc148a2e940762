"""Sample sets keep their columns together, and pack to the same bytes every time."""

import io

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
