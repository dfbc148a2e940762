"""Windows are spread evenly over a raster, lie inside it, and hang on the seed alone."""

from collections import Counter
from itertools import islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespark.calibration.sampling import Room, drawn, shuffled, strata, windows
from edgespark.runtime.grid import Window

ROOMS = st.builds(
    Room, columns=st.integers(1, 400), rows=st.integers(1, 400), size=st.integers(1, 300)
)


def always(_: Window) -> bool:
    return True


@settings(deadline=None)
@given(ROOMS, st.integers(1, 100))
def test_strata_cover_every_place_once_and_are_no_more_than_wanted(room: Room, count: int) -> None:
    cells = strata(room, count)
    across, down = room.places
    assert 1 <= len(cells) <= count
    columns, rows = ({cell[axis] for cell in cells} for axis in (0, 1))
    assert sorted(place for part in columns for place in part) == list(range(across))
    assert sorted(place for part in rows for place in part) == list(range(down))
    assert set(cells) == set(product(columns, rows))


@settings(deadline=None)
@given(ROOMS, st.integers(1, 60), st.integers())
def test_windows_lie_inside_once_each_and_as_many_in_each_stratum(
    room: Room, count: int, seed: int
) -> None:
    found = list(islice(windows(room, count, always, seed), count))
    across, down = room.places
    assert len(found) == len(set(found)) == min(count, across * down)
    for column, row, width, height in found:
        assert (width, height) == room.window
        assert 0 <= column <= room.columns - width
        assert 0 <= row <= room.rows - height
    cells = strata(room, count)
    of = Counter(
        next(k for k, cell in enumerate(cells) if each[0] in cell[0] and each[1] in cell[1])
        for each in found
    )
    if min(len(c) * len(r) for c, r in cells) >= count:
        assert max(of[k] for k in range(len(cells))) - min(of[k] for k in range(len(cells))) <= 1


@settings(deadline=None)
@given(st.integers(), st.integers())
def test_the_seed_decides_all(seed: int, other: int) -> None:
    room = Room(columns=5000, rows=4000, size=64)
    first, again, another = (
        list(islice(windows(room, 12, always, each), 12)) for each in (seed, seed, other)
    )
    assert first == again
    assert (first == another) == (seed == other)


def test_draws_are_the_same_on_every_machine() -> None:
    assert drawn(7, "msi", "a.tif", 0, 3) == 0.3236045972823659
    assert shuffled(6, 7, "files") == [2, 0, 4, 1, 5, 3]


def test_a_stratum_without_valid_ground_leaves_its_share_to_the_others() -> None:
    room = Room(columns=1000, rows=1000, size=10)
    found = list(islice(windows(room, 16, lambda window: window[0] >= 500, 0), 16))
    assert len(found) == 16
    assert min(window[0] for window in found) >= 500
    halves = Counter((window[0] >= 745, window[1] >= 495) for window in found)
    assert set(halves.values()) == {4}


def test_nothing_valid_ends_after_some_tries_of_each_stratum() -> None:
    tries: list[Window] = []

    def never(window: Window) -> bool:
        tries.append(window)
        return False

    assert list(windows(Room(columns=1 << 16, rows=1 << 16, size=100), 4, never, 0)) == []
    assert len(tries) == 4 * 32


@pytest.mark.parametrize(("size", "grid"), [((4000, 1000), (8, 2)), ((9, 900), (1, 16))])
def test_strata_are_as_square_as_they_can_be(size: tuple[int, int], grid: tuple[int, int]) -> None:
    cells = strata(Room(columns=size[0], rows=size[1], size=1), 16)
    assert (len({cell[0] for cell in cells}), len({cell[1] for cell in cells})) == grid


def test_a_raster_no_larger_than_the_size_is_one_window() -> None:
    room = Room(columns=30, rows=20, size=30)
    assert list(windows(room, 9, always, 0)) == [(0, 0, 30, 20)]


def test_places_are_drawn_evenly() -> None:
    room = Room(columns=400, rows=400, size=1)
    thirds = Counter(
        (column // 134, row // 134)
        for seed in range(900)
        for column, row, _, _ in islice(windows(room, 1, always, seed), 1)
    )
    assert len(thirds) == 9
    assert max(thirds.values()) < 1.5 * 100
    assert min(thirds.values()) > 0.6 * 100
