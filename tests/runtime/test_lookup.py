"""Prompt lookup: the same as looking through the whole sequence anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime.lookup import LENGTHS, Lookup

IDS = st.lists(st.integers(-1, 3), max_size=40)  # few ids, so that much stands more than once


def looked_through(ids: list[int], most: int) -> list[int]:
    """Return the draft by comparing the end with every place before it: the oracle."""
    for length in LENGTHS:
        end = ids[-length:]
        if len(end) < length or min(end) < 0:
            continue
        for place in reversed(range(length, len(ids))):
            if ids[place - length : place] == end:
                endless = ids[place:] * (most + 1)
                held = [*endless[:most], -1]
                return held[: next(i for i, each in enumerate(held) if each < 0)]
    return []


@given(ids=IDS, most=st.integers(0, 9))
def test_a_draft_is_what_looking_through_the_whole_sequence_finds(
    ids: list[int], most: int
) -> None:
    assert Lookup(ids).draft(most) == looked_through(ids, most)


@given(ids=IDS, split=st.integers(0, 40))
def test_ids_that_are_added_one_by_one_count_as_those_of_the_beginning(
    ids: list[int], split: int
) -> None:
    lookup = Lookup(ids[:split])
    for end, token in enumerate(ids[split:], len(ids[:split])):
        assert lookup.draft(5) == looked_through(ids[:end], 5)
        lookup.add(token)
    assert lookup.draft(5) == Lookup(ids).draft(5)


@pytest.mark.parametrize(
    ("ids", "drafted"),
    [
        ([], []),
        ([1, 2, 3], []),
        ([7, 1, 2, 9, 8, 4, 1, 2], [9, 8, 4]),
        ([1, 2, 9, 1, 2, 5, 1, 2], [5, 1, 2]),  # the last place
        ([7, 1, 2, 9, 9, 9, 8, 1, 2, 5, 5, 5, 7, 1, 2], [9, 9, 9]),  # the longest agreement
        ([4, 1, 6, 1], []),  # one id says too little
        ([1, 2, 1, 2], [1, 2, 1]),  # a repetition goes on
        ([3, 3, 3], [3, 3, 3]),
        ([-1, -1, -1, -1], []),
        ([-1, 1, 4, -1, 1], []),
        ([1, 2, 6, -1, 8, 1, 2], [6]),
        ([1, 2, -1, 8, 1, 2], []),
    ],
)
def test_a_draft_goes_on_as_the_sequence_did(ids: list[int], drafted: list[int]) -> None:
    assert Lookup(ids).draft(3) == drafted


def test_ids_of_numpy_are_ids_too() -> None:
    lookup = Lookup(np.array([5, 6, 7, 5]))  # type: ignore[arg-type]
    lookup.add(6)
    assert lookup.draft(2) == [7, 5]


def test_a_draft_changes_nothing() -> None:
    lookup = Lookup([1, 2, 3, 1, 2])
    assert lookup.draft(4) == lookup.draft(4) == [3, 1, 2, 3]
