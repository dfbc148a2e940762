"""Bicubic resizing: bit for bit Pillow's, in any pieces, in bounded memory."""

import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime.grid import Window
from edgespark.runtime.views import bicubic
from edgespark.runtime.views.bicubic import Bytes, resized
from tests.runtime.whole import Whole

SIDES = st.integers(1, 40)


def noise(rows: int, columns: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (3, rows, columns), dtype=np.uint8)


def brought(image: Bytes, rows: int, columns: int) -> Bytes:
    return resized(Whole(image=image), rows, columns).read((0, 0, columns, rows))


def pillows(image: Bytes, rows: int, columns: int) -> Bytes:
    """Resize columns, then rows: the order that Pillow 13 changes for some sizes."""
    pillow: Any = pytest.importorskip("PIL.Image", reason="the oracle is Pillow")
    wide = pillow.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    made = wide.resize((columns, image.shape[1]), pillow.Resampling.BICUBIC)
    array = np.asarray(made.resize((columns, rows), pillow.Resampling.BICUBIC))
    return np.moveaxis(array, -1, 0)


SIZES = [
    ((30, 40), (7, 9)),
    ((31, 17), (224, 123)),
    ((97, 61), (224, 224)),
    ((480, 639), (224, 298)),
    ((3, 200), (90, 8)),
    ((200, 3), (8, 90)),
    ((1, 1), (17, 18)),
    ((1, 50), (60, 1)),
    ((64, 48), (64, 21)),
    ((64, 48), (65, 49)),
    ((500, 700), (1, 1)),
]


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("kind", ["noise", "black and white"])
def test_every_byte_is_pillows(old: tuple[int, int], new: tuple[int, int], kind: str) -> None:
    image = noise(*old)
    if kind != "noise":  # the cubic goes furthest beyond 0 and 255
        image = np.where(image > 127, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(brought(image, *new), pillows(image, *new))


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 9))
def test_pillow_agrees_at_all_small_sizes(a: int, b: int, c: int, d: int, seed: int) -> None:
    image = noise(a, b, seed)
    np.testing.assert_array_equal(brought(image, c, d), pillows(image, c, d))


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_window_is_a_part_of_the_whole(
    a: int, b: int, c: int, d: int, data: st.DataObject
) -> None:
    image = noise(a, b)
    row, column = data.draw(st.integers(0, c - 1)), data.draw(st.integers(0, d - 1))
    height, width = data.draw(st.integers(1, c - row)), data.draw(st.integers(1, d - column))
    part = resized(Whole(image=image), c, d).read((column, row, width, height))
    whole = brought(image, c, d)
    np.testing.assert_array_equal(part, whole[:, row : row + height, column : column + width])


@pytest.mark.parametrize("most", [1, 3000])
def test_pieces_give_the_same(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(70, 50)
    small, large = brought(image, 20, 30), brought(image, 100, 90)
    monkeypatch.setattr(bicubic, "MOST_SAMPLES", most)
    np.testing.assert_array_equal(brought(image, 20, 30), small)
    np.testing.assert_array_equal(brought(image, 100, 90), large)


def test_the_same_size_changes_nothing() -> None:
    source = Whole(image=noise(5, 7))
    assert resized(source, 5, 7) is source
    np.testing.assert_array_equal(brought(source.image, 5, 7), source.image)


@given(st.integers(0, 255), SIDES, SIDES, SIDES, SIDES)
def test_one_colour_stays(colour: int, a: int, b: int, c: int, d: int) -> None:
    assert (brought(np.full((3, a, b), colour, np.uint8), c, d) == colour).all()


def test_resizing_twice_is_resizing_what_was_resized() -> None:
    image = noise(40, 30)
    between = brought(image, 55, 66)
    twice = resized(resized(Whole(image=image), 55, 66), 20, 21).read((3, 2, 10, 11))
    np.testing.assert_array_equal(twice, brought(between, 20, 21)[:, 2:13, 3:13])


@dataclass(kw_only=True, slots=True)
class Counted:
    """A grey ramp that is never whole in memory, and what was read of it."""

    rows: int
    columns: int
    windows: list[Window] = field(default_factory=list)

    def read(self, window: Window) -> Bytes:
        self.windows.append(window)
        column, row, width, height = window
        assert 0 <= column < column + width <= self.columns
        assert 0 <= row < row + height <= self.rows
        line = (np.arange(column, column + width) // 16 % 256).astype(np.uint8)
        return np.broadcast_to(line, (3, height, width))


@pytest.mark.parametrize(
    ("rows", "columns", "new"),
    [(1, 100_000, (224, 22_400_000)), (100_000, 1, (22_400_000, 224)), (3000, 4000, (224, 298))],
)
def test_no_more_is_held_than_the_window_takes(
    rows: int, columns: int, new: tuple[int, int]
) -> None:
    source = Counted(rows=rows, columns=columns)
    middle = (new[1] - 224) // 2, (new[0] - 224) // 2, 224, 224
    tracemalloc.start()
    made = resized(source, *new).read(middle)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.shape == (3, 224, 224)
    assert peak < 16 << 20  # all of it would be 36 million samples
    assert max(width * height * 3 for _, _, width, height in source.windows) <= 1 << 22
