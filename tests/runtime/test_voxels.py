"""Brain activity from memory and files: what it becomes, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.sensory import Voxels
from edgespark.runtime.signals.read import read_voxels

RECORD = Voxels(count=6)
SCANS = np.random.default_rng(0).normal(size=(3, 6))
HOLE = np.eye(3, 6, 1) * [[0], [1], [0]]


def encode(_: str) -> list[int]:
    raise AssertionError


def made(value: object, record: Voxels = RECORD) -> NDArray[Any]:
    found = read_voxels(record, value, encode).arrays
    assert list(found) == ["voxels"]
    voxels = found["voxels"]
    assert voxels.dtype == np.float32
    assert voxels.shape == (1, 1, record.count)
    return voxels.reshape(record.count)


def test_one_scan_passes_as_it_is() -> None:
    np.testing.assert_array_equal(made(SCANS[0]), SCANS[0].astype(np.float32))
    np.testing.assert_array_equal(made(SCANS[:1]), SCANS[0].astype(np.float32))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_repeats_are_averaged(dtype: str) -> None:
    scans = SCANS.astype(dtype)
    np.testing.assert_allclose(made(scans), scans.astype("f8").mean(axis=0), rtol=1e-6)


def test_files_give_what_their_arrays_give(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", SCANS)
    np.savetxt(tmp_path / "a.csv", SCANS, "%.17g", ",")
    for path in (tmp_path / "a.npy", tmp_path / "a.csv"):
        np.testing.assert_array_equal(made(path), made(SCANS))
        np.testing.assert_array_equal(made(Argument(f"@{path}")), made(SCANS))


def test_a_real_width_fits_into_a_line(tmp_path: Path) -> None:
    record, scan = Voxels(count=15724), np.random.default_rng(1).normal(size=(1, 15724))
    np.savetxt(tmp_path / "a.csv", scan, delimiter=",")
    np.testing.assert_array_equal(made(tmp_path / "a.csv", record), scan[0].astype(np.float32))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (SCANS[:, :5], "has 5 voxels; the model takes 6"),
        (SCANS.T, "has 3 voxels; the model takes 6"),
        (SCANS[None], r"has shape \(1, 3, 6\); expected \[6\] voxels, or \[repeats, 6\]"),
        (np.float64(1), r"has shape \(\)"),
        (SCANS[:0], "holds nothing"),
        (SCANS[:, :0], "holds nothing"),
        (np.where(HOLE, np.nan, SCANS), "voxel 2, counted from 0, has nan"),
        (np.where(HOLE, np.inf, SCANS), "voxel 2, counted from 0, has inf"),
        (np.full(6, 1e300), r"voxel 0, counted from 0, has 1e\+300"),
        (np.ma.masked_less(SCANS, SCANS.max()), "has nan in the mean of 3 scans"),
        (SCANS.astype(str), "holds str"),
        (SCANS > 0, "holds bool"),
        ([1.0] * 6, r"expected an array \[voxels\] or \[repeats, voxels\], or a path, got list"),
    ],
)
def test_what_is_no_scan_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


BAD = {
    "empty": ("", "is empty"),
    "commas": (",,,,,\n", "holds nothing"),
    "narrow": ("1,2,3\n", "line 1: has 3 voxels; the model takes 6"),
    "cut off": ("1,2,3,4,5,7\n1,2\n", "line 2 has 2 cells, the first one 6"),
    "header": ("a,b,c,d,e,f\n1,2,3,4,5,6\n", "line 1: expected numbers, a row for each scan"),
    "counted": ("0,1,2,3,4,5\n1,2,3,4,5,7\n", "line 1: counts its columns"),
    "counted from 1": ("1,2,3,4,5,6\n1,2,3,4,5,7\n", "line 1: counts its columns"),
    "missing": ("1,2,,4,5,6\n", "line 1: expected numbers"),
    "nan": ("1,2,nan,4,5,6\n", "line 1: voxel 2, counted from 0, is 'nan'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_csv_file_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    text, said = BAD[case]
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        made(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_files_of_no_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"scan")
    np.save(tmp_path / "a.npy", SCANS[:, :5])
    for name, said in (("a.nii", r"there are: \.csv, \.npy"), ("a.npy", "a.npy: has 5 voxels")):
        with pytest.raises(InputError, match=said):
            made(tmp_path / name)
    with pytest.raises(MissingInput):
        made(Path("nothing.npy"))
    with pytest.raises(InputError, match="no option 'mean'"):
        made(Argument("a.npy?mean=0"))
