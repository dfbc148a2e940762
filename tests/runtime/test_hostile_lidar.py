"""LAS files whose header tells of more than the file holds, or of points larger than any."""

import struct
from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.errors import InputError
from edgespark.runtime.points import lidar
from edgespark.runtime.points.files import PointFile, points_of

laspy = pytest.importorskip("laspy", reason="LAS needs laspy and lazrs")
pytest.importorskip("lazrs", reason="LAS needs laspy and lazrs")
HEADER = 227


def header(start: int, records: int) -> bytes:
    """Return the header of a file of no points that begin at a byte, after so many records."""
    made = bytearray(HEADER)
    made[:4] = b"LASF"
    made[24:26] = bytes((1, 2))
    struct.pack_into("<HIIBHI", made, 94, HEADER, start, records, 0, 20, 0)
    return bytes(made)


@pytest.mark.parametrize(
    ("told", "size", "said"),
    [
        ((HEADER + 54 * 4096, 4096), HEADER, "ends early: its points begin at byte 221411, and it"),
        ((HEADER + 54 * 10**6, 10**6), HEADER, "its header tells of 1000000 records in the"),
        ((HEADER + 54 * 5000, 5000), HEADER + 54 * 5000, "its header tells of 5000 records"),
        ((HEADER + 54, 2), 1000, "its header tells of 2 records in the 281 bytes"),
        (
            (3 << 30, 0),
            4 << 30,
            "3221225472 bytes lie before its points; at most 67108864 are read",
        ),
        (
            (1 << 20, 0),
            HEADER,
            "ends early: its points begin at byte 1048576, and it has 227 bytes",
        ),
    ],
)
def test_more_before_the_points_than_any_file_has_is_not_read(
    told: tuple[int, int], size: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cloud.las"
    path.write_bytes(header(*told))
    with path.open("r+b") as file:
        file.truncate(size)  # sparse: it takes no room on the disk

    def opened(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(laspy, "open", opened)
    with pytest.raises(InputError, match=rf"cloud\.las: .*{said}"):
        points_of(PointFile(path))


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_large_points_are_read_few_at_a_time(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = laspy.LasHeader(point_format=0, version="1.2")
    made.scales = np.full(3, 0.01)
    cloud = laspy.LasData(made)
    cloud.x, cloud.y, cloud.z = np.arange(300.0).reshape(3, 100)
    cloud.write(tmp_path / f"cloud{suffix}")

    monkeypatch.setattr(lidar, "AT_A_TIME", 1000)
    pieces = list(lidar.lidar_pieces(tmp_path / f"cloud{suffix}"))
    assert max(map(len, pieces)) == 1000 // made.point_format.size
    np.testing.assert_allclose(np.concatenate(pieces), np.arange(300.0).reshape(3, 100).T)
    monkeypatch.setattr(lidar, "AT_A_TIME", 1)
    assert max(map(len, lidar.lidar_pieces(tmp_path / f"cloud{suffix}"))) == 1
