"""Hostile pictures and videos: absurd sides, types of samples, and parts at the very end."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.sensory import PicturePair
from edgespark.runtime.views.files import PictureFile
from edgespark.runtime.views.read import read_clips, read_pair, read_picture
from tests.runtime.test_view_clips import RECORD as CLIPS
from tests.runtime.test_view_clips import greys, numbers, write
from tests.runtime.test_views import PLAIN, noise

PAIR = PicturePair(picture=PLAIN, second="depth")


def picture(value: object) -> NDArray[Any]:
    return read_picture(PLAIN, value, lambda _: []).arrays["pixels"]


def sparse(path: Path, shape: tuple[int, ...], *, fortran: bool = False) -> Path:
    """Write zeros that take no place on the disk."""
    head = {"descr": "|u1", "fortran_order": fortran, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, head)
        file.truncate(file.tell() + int(np.prod(shape)))
    return path


@pytest.mark.parametrize("shape", [(1, 40_000_000, 1), (1, 1, 40_000_000)])
def test_a_side_that_shrinks_beyond_all_measure_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    second = sparse(tmp_path / "a.npy", shape)
    tracemalloc.start()
    try:
        with (
            pytest.warns(EdgesparkWarning, match="are they of the same view"),
            pytest.raises(InputError, match="a side of 40000000 pixels is too long"),
        ):
            read_pair(PAIR, (noise(50, 50), second), lambda _: [])
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1, 40_000_000, 1), (3, 1, 40_000_000), (1, 4, 40_000_000)])
def test_the_middle_of_an_endless_picture_takes_little(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = sparse(tmp_path / "a.npy", shape)
    tracemalloc.start()
    try:
        with pytest.warns(EdgesparkWarning, match="only the square in its middle"):
            assert not picture(path).any()
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fortran", [False, True])
def test_a_large_picture_is_never_held_whole(tmp_path: Path, *, fortran: bool) -> None:
    path = sparse(tmp_path / "a.npy", (3, 3000, 2000), fortran=fortran)
    tracemalloc.start()
    try:
        assert not picture(path).any()
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float16", "bool", "int64"])
@pytest.mark.parametrize("span", [None, (0, 1)])
def test_a_type_that_no_range_brings_to_bytes_is_told(
    tmp_path: Path, dtype: str, span: tuple[float, float] | None
) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 9, 9), dtype))
    with pytest.raises(InputError, match=f"holds {dtype} samples; a picture has uint8") as caught:
        picture(PictureFile(tmp_path / "a.npy", range=span))
    assert "scale=" not in str(caught.value)


def test_a_part_shorter_than_half_a_frame_at_the_very_end_shows_the_last(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", greys(20))
    with pytest.warns(EdgesparkWarning, match="gives 1 frames for the 5 clips"):
        frames = read_clips(CLIPS, VideoFile(path, start=1.99), lambda _: []).arrays["frames"][0]
    assert numbers(frames) == [19] * 5
