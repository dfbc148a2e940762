"""Coloured point clouds from memory and files: what they become, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.points.coloured import groups
from edgespark.runtime.points.farthest import farthest
from edgespark.runtime.points.files import PointFile
from edgespark.runtime.points.read import read_coloured_points, read_points
from edgespark.runtime.preprocessing import Points
from edgespark.runtime.sensory import ColouredPoints

SHARED = Path(__file__).parents[3] / "shared"
GOLDEN = SHARED / "golden" / "onellm_small" / "point"
REAL = SHARED / "data" / "pointclouds"
RECORD = ColouredPoints(count=32, groups=8, neighbours=4)
SMALL = ColouredPoints(count=32, groups=2, neighbours=4)
Floats = NDArray[np.float32]


def encode(_: str) -> list[int]:
    raise AssertionError


def cloud(n: int = 32, seed: int = 0) -> NDArray[np.float64]:
    """Return positions in two decimals, and colours that are whole shares of 255: [n, 6]."""
    rng = np.random.default_rng(seed)
    where = np.round(rng.normal(size=(n, 3)) * [3.0, 2.0, 1.0], 2)
    return np.column_stack([where, rng.integers(0, 256, (n, 3)) / 255])


def made(value: object, record: ColouredPoints = RECORD) -> Floats:
    found = read_coloured_points(record, value, encode).arrays
    assert list(found) == ["neighbourhoods"]
    neighbourhoods = found["neighbourhoods"]
    assert neighbourhoods.dtype == np.float32
    assert neighbourhoods.shape == (1, record.groups, record.neighbours, 6)
    return neighbourhoods.reshape(neighbourhoods.shape[1:])


def normal(points: NDArray[np.float64]) -> Floats:
    where = points[:, :3] - points[:, :3].mean(axis=0)
    where /= np.linalg.norm(where, axis=1).max()
    return np.column_stack([where, points[:, 3:]]).astype(np.float32)


def test_groups_are_those_of_the_published_code() -> None:
    if not GOLDEN.is_dir():
        pytest.skip("the goldens are not here")
    with np.load(GOLDEN / "inputs.npz") as inputs, np.load(GOLDEN / "outputs.npz") as outputs:
        values, picked, near = inputs["x"][0], outputs["fps_idx"][0], outputs["knn_idx"][0]
    centres, neighbours = groups(values, ColouredPoints(count=8192, groups=1024, neighbours=32))
    np.testing.assert_array_equal(centres, picked)
    np.testing.assert_array_equal(neighbours, near)


def test_points_are_grouped_by_colour_and_keep_their_six_values() -> None:
    points = cloud()
    values = normal(points)
    centres, neighbours = groups(values, RECORD)
    assert centres[0] == 0
    np.testing.assert_array_equal(
        centres, farthest(values[:, 3:], 8, skip_near_origin=False, threads=1024)
    )
    distance = np.linalg.norm(values[None, :, 3:] - values[centres][:, None, 3:], axis=2)
    np.testing.assert_array_equal(neighbours, np.sort(distance.argsort(axis=1)[:, :4], axis=1))
    np.testing.assert_allclose(made(points), values[neighbours], atol=1e-6)


def test_dark_colours_are_sampled_too() -> None:
    points = cloud()
    points[:, 3:] *= 0.01
    assert len(set(groups(normal(points), RECORD)[0])) == RECORD.groups


def test_of_more_points_those_farthest_from_each_other_are_kept() -> None:
    points = cloud(500)
    kept = farthest(normal(points)[:, :3], 32, skip_near_origin=False, threads=1024)
    np.testing.assert_allclose(made(points), made(points[kept]), atol=1e-6)


def test_the_place_and_the_unit_do_not_matter() -> None:
    points = cloud(100)
    moved = points * [1000, 1000, 1000, 1, 1, 1] + [5e5, 5e6, 300, 0, 0, 0]
    np.testing.assert_allclose(made(moved), made(points), atol=1e-6)


def test_more_columns_are_left_alone() -> None:
    points = cloud(100)
    np.testing.assert_array_equal(made(np.column_stack([points, points])), made(points))


def test_colours_of_whole_numbers_reach_255() -> None:
    points = np.round(cloud(100) * [100, 100, 100, 255, 255, 255])
    expected = made(points / [1, 1, 1, 255, 255, 255])
    np.testing.assert_array_equal(made(points.astype(np.int32)), expected)


def test_fewer_points_than_the_model_was_made_for_are_all_taken_with_a_warning() -> None:
    with pytest.warns(EdgesparkWarning, match="has 20 points; the model was made for 32"):
        got = made(cloud(20))
    values = normal(cloud(20))
    np.testing.assert_allclose(got, values[groups(values, RECORD)[1]], atol=1e-6)


def test_few_colours_are_warned_of() -> None:
    points = cloud()
    points[:, 3:] = 0
    with pytest.warns(EdgesparkWarning, match="only 1 different colours; .* of its 8 groups"):
        made(points)


def test_few_positions_are_warned_of() -> None:
    points = np.repeat(cloud(20), 2, axis=0)
    with pytest.warns(EdgesparkWarning, match="only 20 points of the cloud differ in position"):
        made(points)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (cloud()[:, :3], r"\(32, 3\); expected \[points, 6 or more\], with x y z red green blue"),
        (cloud()[:, :5], "expected .points, 6 or more"),
        (cloud()[0], r"has shape \(6,\)"),
        (cloud(7), "fewer points than needed: 7; the model takes 32, and 8 at least"),
        (cloud()[:0], "fewer points than needed: 0"),
        (cloud() * [1, 1, 1, 255, 255, 255], "has red = .* expected 0 to 1: divide colours by"),
        (cloud() - [0, 0, 0, 0, 1, 0], "has green = -"),
        (cloud() * [0, 0, 0, 1, 1, 1], "all its 32 points are equal"),
        (np.where(np.eye(32, 6, 4), np.nan, cloud()), "point 0, .* has green = nan"),
        (cloud() + 0j, "holds complex128"),
        ([[1.0] * 6], r"expected an array \[points, 6 or more\], a path or a PointFile, got list"),
    ],
)
def test_what_has_no_coloured_points_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


def ply(path: Path, points: NDArray[Any], form: str, kind: str, full: float) -> Path:
    """Write a PLY file with its colours in front of the positions, of a type."""
    colours = "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue"))
    axes = "".join(f"property double {axis}\n" for axis in "xyz")
    head = f"ply\nformat {form} 1.0\nelement vertex {len(points)}\n{colours}{axes}end_header\n"
    types = {"uchar": "u1", "ushort": "u2", "float": "f4", "int": "i4"}
    rows = np.zeros(
        len(points), [*((c, f"<{types[kind]}") for c in "rgb"), *((a, "<f8") for a in "xyz")]
    )
    for name, column in zip("xyz", points.T[:3], strict=True):
        rows[name] = column
    for name, column in zip("rgb", points.T[3:] * full, strict=True):
        rows[name] = np.round(column) if rows[name].dtype.kind != "f" else column
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
    path.write_bytes(head.encode() + (text.encode() if form == "ascii" else rows.tobytes()))
    return path


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize(("kind", "full"), [("uchar", 255), ("ushort", 65535), ("float", 1)])
def test_ply_tells_full_colour_by_its_type(
    tmp_path: Path, form: str, kind: str, full: float
) -> None:
    points = cloud(50)
    got = made(ply(tmp_path / "a.ply", points, form, kind, full))
    np.testing.assert_allclose(got, made(points), atol=1e-6)


def test_ply_of_other_types_needs_full_colour_told(tmp_path: Path) -> None:
    points = cloud(50)
    path = ply(tmp_path / "a.ply", points, "ascii", "int", 255)
    with pytest.raises(InputError, match=r"colours of type i4, .* say so with colours=255"):
        made(path)
    np.testing.assert_allclose(made(PointFile(path, colours=255)), made(points), atol=1e-6)


@pytest.mark.parametrize("head", ["", "x,y,z,red,green,blue\n", "# X,Y,Z,R,G,B\n", "x,y,z,r,g,b\n"])
def test_text_has_colours_by_name_or_in_the_next_columns(tmp_path: Path, head: str) -> None:
    points, path = cloud(50), tmp_path / "a.csv"
    rows = "\n".join(",".join(f"{value:.17g}" for value in row) for row in points)
    path.write_text(head + rows)
    np.testing.assert_array_equal(made(path), made(points))


def test_names_say_where_colours_stand(tmp_path: Path) -> None:
    points, path = cloud(50), tmp_path / "a.txt"
    order = [5, 0, 4, 1, 3, 2]
    rows = "\n".join(" ".join(f"{value:.17g}" for value in row[order]) for row in points)
    path.write_text("b x g y r z\n" + rows)
    np.testing.assert_array_equal(made(path), made(points))


def test_full_colour_may_be_told(tmp_path: Path) -> None:
    points = cloud(50)
    path = tmp_path / "a.npy"
    np.save(path, points * [1, 1, 1, 255, 255, 255])
    with pytest.raises(InputError, match=r"a\.npy: a point has .* say so with colours=255"):
        made(path)
    for value in (PointFile(path, colours=255), Argument(f"{path}?colours=255")):
        np.testing.assert_allclose(made(value), made(points), atol=1e-6)
    np.save(path, points)
    np.testing.assert_array_equal(made(path), made(points))
    np.save(path, np.round(points * [100, 100, 100, 255, 255, 255]).astype(int))
    np.testing.assert_allclose(made(path), made(points), atol=1e-6)


@pytest.mark.parametrize("full", [0, -1, np.nan, np.inf, "255"])
def test_full_colour_is_a_number(full: Any) -> None:  # noqa: ANN401 what must not be
    with pytest.raises(InputError, match="colours must be what full colour is"):
        PointFile("a.npy", colours=full)


def test_bounds_hold_of_coloured_points_too(tmp_path: Path) -> None:
    points = cloud(500)
    np.save(tmp_path / "a.npy", points)
    inside = (np.abs(points[:, :2]) <= 2).all(axis=1)
    got = made(PointFile(tmp_path / "a.npy", bounds=(-2, -2, 2, 2)))
    np.testing.assert_array_equal(got, made(points[inside]))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.xyz", "1 2 3\n" * 9, "has 3 columns; expected 6 or more: x, y, z, red, green, blue"),
        ("a.csv", "x,y,z,i\n1,2,3,4\n", "has the columns x, y, z, i; .* expected red, green"),
        ("a.csv", "x,y,z,r,g,b\n1,2,3,4,5,\n", "line 2: .* expected numbers x, y, z and colours"),
        ("a.csv", "x,y,z,r,g,b,r\n1,2,3,4,5,6,7\n", "expected red, green and blue"),
        (
            "a.ply",
            "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
            "property float z\nend_header\n1 2 3\n",
            "has the columns x, y, z; the model takes col",
        ),
    ],
)
def test_a_file_without_colours_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        made(tmp_path / name)
    assert str(raised.value).count(str(tmp_path)) == 1


def test_models_without_colours_are_told_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", cloud())
    record = Points(count=32, groups=8, neighbours=4)
    with pytest.raises(InputError, match="takes no colours: colours= means nothing"):
        read_points(record, PointFile(tmp_path / "a.npy", colours=1), encode)
    with pytest.raises(InputError, match="no option 'colours'"):
        read_points(record, Argument(f"{tmp_path / 'a.npy'}?colours=1"), encode)


def lidar(path: Path, points: NDArray[np.float64], full: float, form: int = 7) -> Path:
    pytest.importorskip("lazrs", reason="LAZ needs lazrs")
    laspy = pytest.importorskip("laspy", reason="LAS needs laspy")
    las = laspy.LasData(laspy.LasHeader(point_format=form, version="1.4"))
    las.header.scales = [0.01] * 3
    las.x, las.y, las.z = points.T[:3]
    if full:
        las.red, las.green, las.blue = np.round(points.T[3:] * full)
    las.write(path)
    return path


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_lidar_has_colours_of_16_bits(tmp_path: Path, suffix: str) -> None:
    points = cloud(50)
    path = lidar(tmp_path / f"a{suffix}", points, 65535)
    np.testing.assert_allclose(made(path), made(points), atol=1e-6)


def test_lidar_with_colours_of_8_bits_is_warned_of(tmp_path: Path) -> None:
    points = cloud(50)
    path = lidar(tmp_path / "a.laz", points, 255)
    with pytest.warns(EdgesparkWarning, match="of the 65535 of LAS: they are taken for 8-bit"):
        np.testing.assert_allclose(made(path), made(points), atol=1e-6)
    np.testing.assert_allclose(made(PointFile(path, colours=255)), made(points), atol=1e-6)
    with pytest.warns(EdgesparkWarning, match=r"brightest colour is 0\.0038"):
        assert made(PointFile(path, colours=65535))[..., 3:].max() < 1 / 256


def test_lidar_without_colours_is_told(tmp_path: Path) -> None:
    path = lidar(tmp_path / "a.las", cloud(50), 0, form=6)
    with pytest.raises(InputError, match="has points of format 6, which have no colours"):
        made(path)


def test_a_real_cloud_has_colours() -> None:
    pytest.importorskip("laspy", reason="LAZ needs laspy")
    path = REAL / "autzen_trim.laz"
    if not path.is_file():
        pytest.skip("the real clouds are not here")
    record = ColouredPoints(count=512, groups=64, neighbours=32)
    got = made(PointFile(path, colours=255), record)
    assert np.linalg.norm(got[..., :3], axis=2).max() <= 1 + 1e-6
    assert 40 / 255 <= got[..., 3:].min() < got[..., 3:].max() <= 236 / 255
    with pytest.warns(EdgesparkWarning, match="its colours reach 236 of the 65535"):
        np.testing.assert_array_equal(made(path, record), got)


@pytest.mark.parametrize(("full", "dtype"), [(1 / 255, float), (1, int)])
def test_colours_that_are_almost_black_are_told(full: float, dtype: type) -> None:
    points = cloud(32)
    points[:, 3:] = np.round(points[:, 3:]) * full
    with pytest.warns(EdgesparkWarning, match=r"brightest colour is 0\.00392 of full colour"):
        made((points * [9, 9, 9, 1, 1, 1]).astype(dtype), SMALL)


def test_rounding_beyond_full_colour_is_none() -> None:
    points = cloud(32)
    points[:2, 3] = [1 + 1e-7, -1e-7]
    assert made(points)[..., 3].max() <= 1
    assert made(points)[..., 3].min() >= 0
