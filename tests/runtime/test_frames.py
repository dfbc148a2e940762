"""Clips in memory: which frames are taken, how they are prepared, what is told of them."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.runtime.arrays import grid_from_array
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.frames.prepare import prepare_clip, spread
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Frames
from tests.runtime.scenes import SIZE, band, imagery

COUNT = 4


def video(count: int = COUNT, **changes: Any) -> Frames:  # noqa: ANN401 any field
    return Frames(count=count, frame=imagery(**changes))


def clip(total: int = COUNT, bands: int = 3, size: int = SIZE) -> NDArray[np.uint8]:
    """Return a clip whose every sample is the number of its frame, from 1."""
    numbers = 1 + np.arange(total, dtype=np.uint8)[:, None, None, None]
    return np.tile(numbers, (1, bands, size, size))


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_frames_are_spread_in_order_and_within_the_clip(total: int, count: int) -> None:
    picks = spread(total, count)
    assert len(picks) == count
    assert picks == sorted(picks)
    assert min(picks) >= 0
    assert max(picks) < total


@given(st.integers(1, 1000))
def test_as_many_frames_as_the_model_takes_are_taken_each_once(total: int) -> None:
    assert spread(total, total) == list(range(total))


def test_frames_come_from_the_centres_of_equal_stretches() -> None:
    assert spread(12, 4) == [1, 4, 7, 10]
    assert spread(2, 4) == [0, 0, 1, 1]
    array = prepare_clip(video(), clip(12)).arrays["frames"]
    assert array.dtype == np.float32
    assert array.shape == (1, COUNT, 3, SIZE, SIZE)
    np.testing.assert_array_equal(array[0, :, 0, 0, 0], [2, 5, 8, 11])


@pytest.mark.parametrize("make", [np.asarray, list, tuple, np.ma.asarray])
def test_an_array_and_a_sequence_of_images_are_the_same_clip(make: Any) -> None:  # noqa: ANN401 a case
    made = prepare_clip(video(), make(clip()))
    np.testing.assert_array_equal(made.arrays["frames"][0], clip())
    assert made.valid == 1.0
    assert made.anchor is None


def test_each_frame_is_prepared_as_an_image_is() -> None:
    images = np.random.default_rng(0).integers(0, 255, (COUNT, 3, 3 * SIZE, 2 * SIZE)).astype("i2")
    record = video(bands=tuple(band(n, mean=80, std=9, low=20, high=200) for n in "rgb"))
    made = prepare_clip(record, images).arrays["frames"]
    for k, image in enumerate(images):
        alone, _ = pixels(grid_from_array(image, Raster("one"), record.frame), record.frame)
        np.testing.assert_array_equal(made[:, k], alone)


def test_a_frame_of_one_band_needs_no_axis_for_it() -> None:
    record = video(count=COUNT, bands=(band("heat"),))
    made = prepare_clip(record, clip(bands=1)[:, 0])
    np.testing.assert_array_equal(made.arrays["frames"][0], clip(bands=1))


def test_masked_samples_are_counted_over_the_whole_clip() -> None:
    masked = np.ma.MaskedArray(clip(), mask=False)
    masked[1, :, : SIZE // 2] = np.ma.masked
    made = prepare_clip(video(), masked)
    assert made.valid == pytest.approx(1 - 0.5 / COUNT)
    assert not made.arrays["frames"][0, 1, :, : SIZE // 2].any()


def test_fewer_frames_than_the_model_takes_stand_again() -> None:
    with pytest.warns(EdgesparkWarning, match=r"clip \(3, 3, 8, 8\): has 3 frames of the 4 that"):
        made = prepare_clip(video(), clip(3))
    np.testing.assert_array_equal(made.arrays["frames"][0, :, 0, 0, 0], [1, 2, 2, 3])


def test_what_is_warned_of_every_frame_is_told_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare_clip(video(), clip(size=SIZE // 2))
    assert [str(each.message) for each in caught] == [
        "clip (4, 3, 4, 4): 4 x 4 pixels are enlarged to the 8 x 8 that the model takes"
    ]
    assert caught[0].category is EdgesparkWarning


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (clip()[:0], r"clip \(0, 3, 8, 8\): has no frames"),
        ([], "clip of 0 images: has no frames"),
        (clip()[0], r"clip \(3, 8, 8\): expected \[frames, bands, rows, columns\], with 3 bands"),
        (clip(bands=2), r"frame 0 of clip \(4, 2, 8, 8\): found 2 bands"),
        (np.moveaxis(clip(), 1, -1), r"expected 3 \(red.*are its bands last\? np.moveaxis"),
        (clip().astype("uint32"), "frame 0 of .*: holds uint32 samples"),
        (clip() * np.float32("nan"), "frame 0 of .*: band 'red' holds nan"),
        (clip()[:, :, :0], r"frame 0 of .*is empty"),
        ([clip()[0], "a frame"], r"expected an array \[bands, rows, columns\], got str"),
        (3.5, r"expected an array \[frames, .*\], a path or a VideoFile, got float"),
        ([clip()[0], clip()[0, 0]], r"frame 1 of clip of 2 images: has shape \(8, 8\)"),
    ],
)
def test_what_is_no_clip_is_refused(given: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepare_clip(video(), given)


def test_a_frame_without_enough_valid_samples_is_told_by_its_number() -> None:
    masked = np.ma.MaskedArray(clip(), mask=False)
    masked[2] = np.ma.masked
    with pytest.raises(InputError, match=r"frame 2 of clip .*only 0\.00% of its samples"):
        prepare_clip(video(), masked)
