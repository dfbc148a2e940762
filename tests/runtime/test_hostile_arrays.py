"""Broken .npy files: headers that numpy stumbles over, and what shrinks while it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arrays import mapped_npy, open_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.frames.files import prepare_file as prepare_video
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.npy import NpyFile, npy_file
from edgespark.runtime.points.files import PointFile, points_of
from edgespark.runtime.preprocessing import Frames
from tests.runtime.scenes import imagery

Read = Callable[[Path], object]


def with_header(path: Path, header: str) -> Path:
    body = f"{header}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + bytes(64))
    return path


@pytest.mark.parametrize(
    "descr",
    ["()", "('<f4',)", "[()]", "[('a',)]", "'|O'", "-1", "[" * 90 + "]" * 90],
)
def test_an_odd_type_in_a_header_is_an_error(tmp_path: Path, descr: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (8, 2), }}"
    with pytest.raises(InputError, match=r"is no \.npy file of numbers that can be read"):
        npy_file(with_header(tmp_path / "odd.npy", header))


@pytest.mark.parametrize("shape", ["(8,)", "()", "(0, 3)", "(2, 0)"])
def test_a_shape_without_samples_or_axes_is_read(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    file = npy_file(with_header(tmp_path / "odd.npy", header))
    assert file.astype(np.float64).shape == file.shape


BOX = (slice(1, 4), slice(2, 30), slice(3, 300))
PARTS: tuple[Any, ...] = (
    BOX,
    2,
    (2, 3, 4),
    slice(2, 4),
    (slice(None), slice(5), slice(7, 9)),
    (slice(None), 3),
    slice(3, 3),
    ([3, 1, 3], slice(2, 30), slice(300, 400)),
)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_part_is_what_numpy_gives(tmp_path: Path, order: Any, part: Any) -> None:  # noqa: ANN401 cases
    array = np.asarray(np.arange(5 * 40 * 700).reshape(5, 40, 700), ">i4", order=order)
    np.save(tmp_path / "a.npy", array)
    file = npy_file(tmp_path / "a.npy")
    assert (file.shape, file.ndim, len(file), file.dtype) == ((5, 40, 700), 3, 5, array.dtype)
    np.testing.assert_array_equal(file[part], array[part])
    np.testing.assert_array_equal(file[None].astype("i8"), array[None])


@pytest.mark.parametrize("shape", [(300_000,), (70_000, 5), (3, 70_000), (2, 3, 70_000)])
def test_pieces_of_any_size_are_put_together(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    np.save(tmp_path / "a.npy", array)
    file = npy_file(tmp_path / "a.npy")
    np.testing.assert_array_equal(file.astype("f8"), array)
    part = tuple(slice(1, n - 1 or n) for n in shape)
    np.testing.assert_array_equal(file[part], array[part])


def test_what_is_no_index_into_a_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    with pytest.raises(TypeError, match="is no index into a file"):
        npy_file(tmp_path / "a.npy")[::2]


def _raster(path: Path) -> object:
    record = imagery()
    with open_npy(Raster(path), record) as grid:
        os.truncate(path, 1000)
        return pixels(grid, record)


def _video(path: Path) -> object:
    return prepare_video(Frames(count=8, frame=imagery()), VideoFile(path))


SHRINKING: dict[str, tuple[tuple[int, ...], Read]] = {
    "raster": ((3, 400, 400), _raster),
    "clip": ((8, 3, 64, 64), _video),
    "cloud": ((100_000, 3), lambda path: points_of(PointFile(path))),
    "series": ((12, 400, 3), lambda path: mapped_npy(path).astype(np.float64)),
}


@pytest.mark.parametrize("kind", SHRINKING)
def test_a_file_that_shrinks_while_it_is_read_ends_early(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, read = SHRINKING[kind]
    path = tmp_path / "shrinks.npy"
    np.save(path, np.ones(shape))
    part = NpyFile._part

    def shrinking(self: NpyFile, spans: tuple[tuple[int, int], ...]) -> NDArray[Any]:
        os.truncate(path, 1000)
        return part(self, spans)

    monkeypatch.setattr(NpyFile, "_part", shrinking)
    with pytest.raises(InputError, match=r"shrinks\.npy: ends early: it was cut off while"):
        read(path)


def test_a_file_that_vanishes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    file = npy_file(tmp_path / "a.npy")
    (tmp_path / "a.npy").unlink()
    with pytest.raises(InputError, match=r"a\.npy: cannot be read: No such file"):
        file[0]
