"""What each kind of preprocessing gives: the arrays that a route may start from, as promised."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from edgespark.runtime._check_heads import ANCHORS
from edgespark.runtime.errors import InputError
from edgespark.runtime.inputs import READERS, Prepared
from edgespark.runtime.ports import takes
from edgespark.runtime.preprocessing import Preprocessing, Text
from edgespark.runtime.starts import GIVES, check_prepared, starts
from edgespark.runtime.takes import WORDS
from tests.runtime.kinds import RECORDS, TRACKS, VALUES, imagery

KINDS = list(RECORDS)


def prepared(kind: str) -> Prepared:
    record = RECORDS[kind]
    return READERS[type(record)](record, VALUES[kind], lambda text: list(text.encode()))


def test_every_kind_has_its_reader_its_arrays_and_its_words() -> None:
    kinds = set(get_args(Preprocessing))
    assert kinds == set(GIVES) == set(READERS) == set(WORDS) == {*map(type, RECORDS.values())}
    assert set(ANCHORS) < kinds
    assert [record.kind for record in RECORDS.values()] == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_prepared_are_the_arrays_that_were_promised(kind: str) -> None:
    ports, made = starts(RECORDS[kind]), prepared(kind)
    assert list(made.arrays) == [port.name for port in ports]
    for port, array in zip(ports, made.arrays.values(), strict=True):
        assert array.dtype == port.dtype
        assert takes(port, array.shape)
    check_prepared(RECORDS[kind], made)


@pytest.mark.parametrize("kind", KINDS)
def test_an_anchor_has_the_shape_that_heads_are_checked_against(kind: str) -> None:
    record, anchor = RECORDS[kind], prepared(kind).anchor
    shape = ANCHORS[type(record)](record) if type(record) in ANCHORS else None
    assert (anchor is None) == (shape is None)
    if anchor is not None:
        assert anchor.dtype == np.float64
        assert anchor.shape == shape


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_tokens_of_a_text_vary_in_number(kind: str) -> None:
    open_axes = [axis.name for port in starts(RECORDS[kind]) for axis in port.axes if axis.high > 1]
    static = [a.static for port in starts(RECORDS[kind]) for a in port.axes if a.name != "tokens"]
    assert all(static)
    assert ("tokens" in open_axes) == (kind == "text")


def test_a_text_starts_from_one_to_the_most_tokens() -> None:
    (port,) = starts(Text(max_tokens=7))
    assert [(axis.low, axis.high) for axis in port.axes] == [(1, 1), (1, 7)]


def test_what_was_prepared_for_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"has the arrays pixels; the modality starts from track,"):
        check_prepared(TRACKS, prepared("imagery"))
    with pytest.raises(InputError, match="has the arrays none; the modality starts from ids"):
        check_prepared(RECORDS["text"], Prepared(arrays={}))


def test_what_was_prepared_for_another_size_or_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"'pixels' is float32 \[1, 2, 4, 4\]; .* bands 3,"):
        check_prepared(imagery(3), prepared("imagery"))
    made = prepared("tracks")
    for array in (made.arrays["present"].astype(np.float32), made.arrays["present"][0]):
        wrong = replace(made, arrays={**made.arrays, "present": array})
        with pytest.raises(InputError, match=r"'present' is .*; the modality starts from bool"):
            check_prepared(TRACKS, wrong)
