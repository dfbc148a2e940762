"""Hostile motion and brain activity: of any order and length, and of other units than meant."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.npy import NpyFile
from edgespark.runtime.sensory import Motion, Voxels
from edgespark.runtime.signals import voxels
from edgespark.runtime.signals.read import read_motion, read_voxels
from edgespark.runtime.signals.recording import MotionSignal

COUNT = 300
RECORD = Voxels(count=COUNT)
MOTION = Motion(channels=("x", "y"), rate=200, samples=400)
SCANS = np.random.default_rng(0).normal(size=(1000, COUNT)).astype(np.float32)


def mean(value: object) -> NDArray[Any]:
    return np.asarray(read_voxels(RECORD, value, lambda _: []).arrays["voxels"][0, 0])


def saved(folder: Path, scans: NDArray[Any], order: str) -> Path:
    np.save(folder / "a.npy", np.asfortranarray(scans) if order == "F" else scans)
    return folder / "a.npy"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("most", [1, 7, 250, 5000, 1 << 20])
def test_the_mean_is_the_same_in_pieces_of_any_size(
    tmp_path: Path, order: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxels, "AT_A_TIME", most)
    scans = SCANS[:9]
    expected = scans.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(mean(saved(tmp_path, scans, order)), expected, atol=1e-7)
    np.testing.assert_allclose(mean(np.array(scans, order=order)), expected, atol=1e-7)  # type: ignore[call-overload]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_of_many_repeats_is_read_once_and_never_whole(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxels, "AT_A_TIME", 1 << 14)
    path, sizes, read = saved(tmp_path, SCANS, order), list[int](), NpyFile._read

    def counted(self: NpyFile, file: Any, size: int) -> NDArray[Any]:  # noqa: ANN401 a file
        sizes.append(size)
        return read(self, file, size)

    monkeypatch.setattr(NpyFile, "_read", counted)
    tracemalloc.start()
    try:
        mean(path)
        assert tracemalloc.get_traced_memory()[1] < SCANS.nbytes / 2
    finally:
        tracemalloc.stop()
    assert sum(sizes) == SCANS.nbytes


@pytest.mark.parametrize(
    "scan", [np.full(COUNT, 1e30), np.full(COUNT, 200, np.uint8), np.eye(1, COUNT, 4)[0] * -5000]
)
def test_values_that_are_not_normalised_are_told(scan: NDArray[Any]) -> None:
    with pytest.warns(EdgesparkWarning, match="values that are normalised .* are these raw"):
        np.testing.assert_array_equal(mean(scan), scan.astype(np.float32))


@pytest.mark.parametrize("rate", [5, 50, 199, 1000, 100_000])
def test_motion_at_another_rate_is_told(rate: int) -> None:
    clip = np.ones((2, 2 * rate))
    with pytest.warns(EdgesparkWarning, match=f"is at {rate} Hz; resampled to the 200 Hz"):
        read_motion(MOTION, MotionSignal(clip, rate=rate), lambda _: [])


def test_an_option_of_a_kind_that_has_none_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, SCANS[:1], "C")
    with pytest.raises(InputError, match="no option 'repeat'; there are: none"):
        read_voxels(RECORD, Argument(f"{path}?repeat=1"), lambda _: [])
