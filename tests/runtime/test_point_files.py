"""LAS, LAZ, PLY, text and .npy: what is read of them, and what is refused."""

import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError, MissingExtra, MissingInput
from edgespark.runtime.points.files import PointFile, points_of
from edgespark.runtime.points.read import read_points
from edgespark.runtime.points.thinned import MOST_POINTS
from edgespark.runtime.preprocessing import Points
from tests.runtime.test_points import UTM, encode

CASES = Path(__file__).parent / "cases" / "points"
REAL = Path(__file__).parents[3] / "shared" / "data" / "pointclouds"
RECORD = Points(count=8, groups=4, neighbours=4)
POINTS = np.round(np.random.default_rng(3).normal(size=(16, 3)) * 5, 2)
ROWS = [" ".join(f"{number:.2f}" for number in point) for point in POINTS]

SAID = {
    "all_equal.xyz": "all its 16 points are equal: 1.5, 2, 3",
    "another_comment.txt": "a comment names 4 columns, line 2 has 3",
    "binary.txt": "line 1: .*: expected numbers x, y and z, or the names",
    "blank.txt": "holds no points",
    "broken_points.laz": "cannot be read as LAS or LAZ: ",
    "chunks_outside.laz": "ends early: its table of compressed chunks lies outside",
    "column_twice.csv": "line 1: 'x,y,z,x': expected",
    "comma_for_point.csv": "line 1: '10,20;",
    "comments_alone.txt": "holds no points",
    "complex.npy": "holds complex128; expected real numbers",
    "count_first.txt": "line 1 has 1 columns; expected x, y and z",
    "cut_off.las": "ends early: its header tells of 16 points from byte 375 on",
    "cut_off.laz": "ends early: ",
    "cut_off.npy": r"is no \.npy file of numbers",
    "cut_off.ply": "line 17 has 2 columns; expected 3",
    "cut_off.xyz": "line 16 has 2 columns; expected 3",
    "cut_off_binary.ply": "ends early: 15 points of the 16",
    "endless.ply": "ends early: 1 points of the 99999999999999999999",
    "empty.las": "cannot be read as LAS or LAZ: Source is empty",
    "empty.laz": "cannot be read as LAS or LAZ: Source is empty",
    "empty.npy": r"is no \.npy file of numbers",
    "empty.ply": "is no PLY file",
    "empty.xyz": "holds no points",
    "faces_first.ply": "its first element is 'element face 16'; expected",
    "fewer_lines.ply": "ends early: 16 points of the 20",
    "fill_value.txt": r"point 1, counted from 0, has z = -3\.40282e\+38",
    "flat.npy": r"has shape \(48,\)",
    "header_cut_off.las": "cannot be read as LAS or LAZ",
    "header_cut_off.laz": "cannot be read as LAS or LAZ",
    "header_cut_off.ply": "its header has no end",
    "header_without_end.ply": "its header has no end",
    "infinite.csv": "point 2, counted from 0, has z = inf",
    "larger_items.laz": "its items and its points differ in size",
    "list.ply": "have a 'property list uchar int near'; expected",
    "many_chunks.laz": "its table of compressed chunks is broken",
    "many_more.las": "ends early: its header tells of 1000000000000000 points",
    "many_more.ply": "ends early: 16 points of the 1000000000000000",
    "many_records.las": "its header tells of 4294967295 records in the 375 bytes",
    "missing.csv": "line 5: '16.61,,-1.76': expected numbers x, y and z",
    "molecule.xyz": "line 1 has 1 columns",
    "nan.npy": "point 12, counted from 0, has x = nan",
    "nan.ply": "point 9, counted from 0, has y = nan",
    "nan.xyz": "point 6, counted from 0, has y = nan",
    "nan_scale.las": "point 0, counted from 0, has x = nan",
    "negative.ply": "its first element is 'element vertex -4'",
    "no_items.laz": "its items and its points differ in size",
    "no_points.las": "holds no points",
    "no_points.laz": "holds no points",
    "no_points.npy": "fewer points than needed: 0; the model takes 8",
    "no_points.ply": "holds no points",
    "no_such_columns.csv": "line 1: 'easting,northing,height': expected .* names of columns",
    "no_z.ply": r"have the properties \['x', 'y', 'w'\]; expected x, y and z",
    "noise_alone.las": "fewer points than needed: 0",
    "noise_alone.laz": "fewer points than needed: 0",
    "one_line.txt": "line 1 is longer than any of numbers",
    "points.unknown": r"cannot tell what it is by '\.unknown'; there are: \.las, \.laz, \.ply",
    "ragged.csv": "line 6 has 4 columns; expected 3",
    "strange_format.ply": r"has the format \['binary_middle_endian'\]; expected one of: ascii",
    "strange_type.ply": "have a 'property half z'; expected",
    "strange_version.las": "cannot be read as LAS or LAZ",
    "text.las": "cannot be read as LAS or LAZ: Invalid file signature",
    "text.laz": "cannot be read as LAS or LAZ: Invalid file signature",
    "text.npy": r"is no \.npy file of numbers",
    "text.ply": "is no PLY file",
    "three_points.xyz": "fewer points than needed: 3; the model takes 8",
    "two_columns.npy": r"has shape \(16, 2\)",
    "two_columns.xyz": "line 1 has 2 columns; expected x, y and z",
    "utf_16.csv": "line 1: .*: expected numbers x, y and z",
    "word.ply": "line 13: '1.0 two 3.0': expected numbers",
    "word.xyz": "line 5: '1.0 two 3.0': expected numbers",
    "words.npy": "expected real numbers",
    "x_twice.ply": "have the properties .* each once",
}
LIDAR = (".las", ".laz")


def lidar() -> Any:  # noqa: ANN401 it may be missing
    pytest.importorskip("lazrs", reason="LAZ needs lazrs")
    return pytest.importorskip("laspy", reason="LAS needs laspy")


def read(path: Path, **options: Any) -> NDArray[np.float64]:  # noqa: ANN401 those of PointFile
    return points_of(PointFile(path, **options))


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("name", sorted(each.name for each in CASES.iterdir()))
def test_a_broken_file_is_told_in_one_line(name: str) -> None:
    if name.endswith(LIDAR):
        lidar()
    with pytest.raises(InputError, match=SAID[name]) as raised:
        read_points(RECORD, CASES / name, encode)
    said = str(raised.value)
    assert said.startswith(f"{CASES / name}: ")
    assert said.count(str(CASES)) == 1
    assert "\n" not in said


def test_a_path_to_nothing_is_told() -> None:
    with pytest.raises(MissingInput, match="there is no such file"):
        read_points(RECORD, "nothing.ply", encode)
    with pytest.raises(InputError, match="is a folder"):
        read_points(RECORD, CASES, encode)


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(ROWS),
        "\r\n".join(ROWS) + "\r\n\r\n",
        "\r".join(ROWS),
        "# a comment\n" + "\n// another\n".join(ROWS),
        "\n".join(f"  {row} " for row in ROWS),
        "\n".join(row.replace(" ", "\t") for row in ROWS),
        "\n".join(row.replace(" ", ", ") for row in ROWS),
        "\n".join(row.replace(" ", ";") for row in ROWS),
        "\n".join(f"{row} 255 tree" for row in ROWS),
        "x y z\n" + "\n".join(ROWS),
        "\ufeffX,Y,Z\n" + "\n".join(row.replace(" ", ",") for row in ROWS),
        '"id","x","y","z"\n' + "\n".join(f"a,{row.replace(' ', ',')}" for row in ROWS),
        "//X Y Z R\n" + "\n".join(f"{row} 3" for row in ROWS),
    ],
)
@pytest.mark.parametrize("suffix", [".xyz", ".txt", ".CSV"])
def test_points_stand_one_a_line(tmp_path: Path, text: str, suffix: str) -> None:
    np.testing.assert_array_equal(read(written(tmp_path / f"a{suffix}", text)), POINTS)


def test_names_say_which_columns_are_meant(tmp_path: Path) -> None:
    lines = "\n".join(" ".join([*reversed(row.split()), "7"]) for row in ROWS)
    for head in ("z y x class\n", "# z y x class\n"):
        np.testing.assert_array_equal(read(written(tmp_path / "a.txt", head + lines)), POINTS)


def test_a_long_text_is_read_block_by_block(tmp_path: Path) -> None:
    many = np.round(np.random.default_rng(1).normal(size=(80_000, 3)), 3)
    path = tmp_path / "many.xyz"
    np.savetxt(path, many, "%.3f")
    np.testing.assert_array_equal(read(path), many[::2])
    lines = path.read_text().splitlines()
    lines[70_000] = "1 2 three"
    with pytest.raises(InputError, match="line 70001: '1 2 three'"):
        read(written(path, "\n".join(lines)))


PROPERTIES = "property float x\nproperty float y\nproperty uchar red\nproperty double z\n"
TYPES = [("x", "f4"), ("y", "f4"), ("red", "u1"), ("z", "f8")]


def ply(form: str, data: bytes, end: str = "\n") -> bytes:
    head = f"ply\nformat {form} 1.0\ncomment of the tests\nelement vertex {len(POINTS)}\n"
    tail = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    return (head + PROPERTIES + tail).replace("\n", end).encode() + data


@pytest.mark.parametrize(("form", "order"), [("little", "<"), ("big", ">")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_binary_ply_gives_its_vertices(tmp_path: Path, form: str, order: str, end: str) -> None:
    rows = np.zeros(len(POINTS), [(name, order + kind) for name, kind in TYPES])
    rows["x"], rows["y"], rows["z"] = POINTS.T
    face = struct.pack(f"{order}Biii", 3, 0, 1, 2)
    data = ply(f"binary_{form}_endian", rows.tobytes() + face, end)
    found = read(written(tmp_path / "a.ply", data))
    np.testing.assert_allclose(found, POINTS, atol=1e-6)
    np.testing.assert_array_equal(found[:, 2], POINTS[:, 2])


def test_an_ascii_ply_gives_its_vertices(tmp_path: Path) -> None:
    rows = [f"{x} {y} 255 {z}" for x, y, z in (row.split() for row in ROWS)]
    data = ply("ascii", "\n".join([*rows, "3 0 1 2"]).encode())
    np.testing.assert_array_equal(read(written(tmp_path / "a.ply", data)), POINTS)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_ply_is_read_as_trimesh_reads_it(tmp_path: Path, encoding: str) -> None:
    trimesh = pytest.importorskip("trimesh", reason="the oracle")
    data = trimesh.creation.icosphere(2).export(file_type="ply", encoding=encoding)
    path = written(tmp_path / "a.ply", data)
    wanted = trimesh.load(path, process=False).vertices
    np.testing.assert_allclose(read(path), wanted, atol=1e-12)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i4"])
def test_npy_arrays_are_mapped(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", POINTS.astype(dtype))
    found = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, POINTS.astype(dtype).astype(np.float64))


@pytest.mark.parametrize(("form", "version"), [(0, "1.2"), (3, "1.2"), (6, "1.4"), (7, "1.4")])
@pytest.mark.parametrize("suffix", LIDAR)
def test_lidar_points_stand_in_their_own_units(
    tmp_path: Path, form: int, version: str, suffix: str
) -> None:
    laspy = lidar()
    header = laspy.LasHeader(point_format=form, version=version)
    header.scales, header.offsets = [0.01] * 3, UTM
    las = laspy.LasData(header)
    las.x, las.y, las.z = (POINTS + UTM).T
    las.classification = [2] * 13 + [7, 2, 2]
    las.withheld = [1] + [0] * 15
    las.write(tmp_path / f"a{suffix}")
    wanted = np.delete(POINTS, [0, 13], axis=0) + UTM
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), wanted, atol=1e-6)


def test_what_lies_within_bounds_is_meant(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POINTS)
    x, y, _ = POINTS.T
    inside = (x >= -4) & (x <= x.max()) & (y >= -3) & (y <= 6)
    assert 0 < inside.sum() < len(POINTS)
    found = read(tmp_path / "a.npy", bounds=(-4, -3, x.max(), 6))
    np.testing.assert_array_equal(found, POINTS[inside])


def test_bounds_without_points_tell_where_the_cloud_is(tmp_path: Path) -> None:
    path = written(tmp_path / "a.xyz", "1 2 3\n4 5 6\n")
    with pytest.raises(
        InputError,
        match=r"a\.xyz: no point lies within bounds=7,7,8,8; the cloud "
        r"reaches over 1,2,4,5",
    ):
        read(path, bounds=(7, 7, 8, 8))


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((1, 2, 3), "bounds must be xmin, ymin, xmax, ymax"),
        ((1, 2, 3, "4"), "bounds must be xmin"),
        (4, "bounds must be xmin"),
        ((3, 2, 1, 4), "bounds 3,2,1,4 hold nothing"),
        ((0, 1, 1, 1), "hold nothing"),
        ((0, 0, float("nan"), 1), "hold nothing"),
    ],
)
def test_bounds_that_hold_nothing_are_refused(bounds: Any, said: str) -> None:  # noqa: ANN401 what must not be
    with pytest.raises(InputError, match=said):
        PointFile("a.las", bounds=bounds)


@pytest.mark.parametrize("path", ["", None, 3])
def test_a_point_file_needs_a_path(path: Any) -> None:  # noqa: ANN401 what must not be
    with pytest.raises(InputError, match="expected the path of a point cloud"):
        PointFile(path)


def test_arguments_have_bounds(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POINTS)
    for text in (f"{tmp_path}/a.npy?bounds=-9,-9,9,9", f"@{tmp_path}/a.npy?bounds=-9,-9,9,9"):
        found = read_points(RECORD, Argument(text), encode).arrays
        wanted = read_points(
            RECORD, PointFile(tmp_path / "a.npy", bounds=(-9, -9, 9, 9)), encode
        ).arrays
        np.testing.assert_array_equal(found["centres"], wanted["centres"])
    for text in ("a.npy?bounds=1,two,3,4", "a.npy?bounds=", "a.npy?window=1"):
        with pytest.raises(InputError, match="bounds"):
            read_points(RECORD, Argument(text), encode)


def test_a_file_gives_what_its_array_gives(tmp_path: Path) -> None:
    many = np.random.default_rng(1).normal(size=(2 * MOST_POINTS + 9, 3))
    np.save(tmp_path / "a.npy", many)
    found = read_points(RECORD, tmp_path / "a.npy", encode).arrays
    for name, array in read_points(RECORD, many, encode).arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("suffix", [".npy", ".ply", ".las", ".laz"])
def test_a_file_is_never_held_whole(tmp_path: Path, suffix: str) -> None:
    n = 12 * MOST_POINTS
    whole = np.round(np.random.default_rng(1).normal(size=(n, 3)), 2)
    path = WRITERS[suffix](tmp_path / f"a{suffix}", whole)
    read(path, bounds=(0, 0, 0.5, 0.5))  # imports, and what libraries keep
    tracemalloc.start()
    try:
        assert len(read(path, bounds=(0, 0, 0.5, 0.5))) > 1000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < whole.nbytes / 2


def write_npy(path: Path, points: NDArray[np.float64]) -> Path:
    np.save(path, points)
    return path


def write_ply(path: Path, points: NDArray[np.float64]) -> Path:
    axes = "".join(f"property double {axis}\n" for axis in "xyz")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{axes}end_header\n"
    return written(path, head.encode() + points.astype("<f8").tobytes())


def write_lidar(path: Path, points: NDArray[np.float64]) -> Path:
    laspy = lidar()
    las = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    las.header.scales = [0.01] * 3
    las.x, las.y, las.z = points.T
    las.write(path)
    return path


WRITERS = {".npy": write_npy, ".ply": write_ply, ".las": write_lidar, ".laz": write_lidar}


@pytest.mark.parametrize("missing", ["laspy", "lazrs"])
def test_without_its_library_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[geo\]'"):
        read_points(RECORD, CASES / "text.las", encode)


def test_a_panic_in_lazrs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laspy = lidar()
    panic = type("PanicException", (BaseException,), {})

    def panicking(*_: object, **__: object) -> None:
        raise panic("mid > len")

    path = write_lidar(tmp_path / "a.laz", POINTS)
    monkeypatch.setattr(laspy, "open", panicking)
    with pytest.raises(InputError, match="cannot be read as LAS or LAZ: mid > len"):
        read(path)


@pytest.mark.parametrize(
    ("name", "count"), [("simple.las", 1065), ("autzen_trim.laz", 110_000 // 2)]
)
def test_real_clouds_are_read(name: str, count: int) -> None:
    lidar()
    if not (REAL / name).is_file():
        pytest.skip("the real clouds are not here")
    record = Points(count=1024, groups=64, neighbours=32)
    assert len(read(REAL / name)) == count
    found = read_points(record, REAL / name, encode).arrays
    assert found["neighbourhoods"].shape == (1, 64, 32, 3)
    assert np.abs(found["centres"]).max() <= 1


def test_a_part_of_a_real_cloud_is_read() -> None:
    lidar()
    if not (REAL / "autzen_trim.laz").is_file():
        pytest.skip("the real clouds are not here")
    xmin, ymin, xmax, ymax = bounds = (636100.0, 848950.0, 636400.0, 849200.0)
    found = read(REAL / "autzen_trim.laz", bounds=bounds)
    assert len(found) > 1024
    assert (found[:, :2] >= [xmin, ymin]).all()
    assert (found[:, :2] <= [xmax, ymax]).all()
