"""Point clouds in memory: what they become, and what is refused."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.points.farthest import farthest
from edgespark.runtime.points.prepare import prepare
from edgespark.runtime.points.read import read_points
from edgespark.runtime.points.thinned import MOST_POINTS, thinned
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Points

RECORD = Points(count=32, groups=8, neighbours=4)
UTM = np.array([5e5, 5e6, 300])


def cloud(n: int = 100, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, 3)) * [3.0, 2.0, 1.0]


def encode(_: str) -> list[int]:
    raise AssertionError


def made(value: object) -> Prepared:
    return read_points(RECORD, value, encode)


def arrays(value: object) -> tuple[NDArray[Any], NDArray[Any]]:
    found = made(value).arrays
    assert list(found) == ["neighbourhoods", "centres"]
    return found["neighbourhoods"], found["centres"]


def test_shapes_and_types_are_the_record_s() -> None:
    neighbourhoods, centres = arrays(cloud())
    assert neighbourhoods.shape == (1, 8, 4, 3)
    assert centres.shape == (1, 8, 3)
    assert neighbourhoods.dtype == centres.dtype == np.float32


def test_groups_begin_with_their_centre_and_are_relative_to_it() -> None:
    neighbourhoods, _ = arrays(cloud())
    assert not neighbourhoods[0, :, 0].any()
    lengths = np.linalg.norm(neighbourhoods[0], axis=2)
    assert (np.diff(lengths, axis=1) >= 0).all()


def test_the_cloud_fills_the_unit_sphere_around_its_mean() -> None:
    points = cloud(RECORD.count)
    _, centres = arrays(points)
    points -= points.mean(axis=0)
    points /= np.linalg.norm(points, axis=1).max()
    picked = farthest(points.astype(np.float32), RECORD.groups)
    np.testing.assert_allclose(centres[0], points[picked], atol=1e-6)


def test_both_samplings_see_the_normalised_points() -> None:
    points = cloud(2000)
    _, centres = arrays(points)
    points -= points.mean(axis=0)
    points /= np.linalg.norm(points, axis=1).max()
    normal = points.astype(np.float32)
    kept = normal[farthest(normal, RECORD.count)]
    np.testing.assert_allclose(centres[0], kept[farthest(kept, RECORD.groups)], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e9])
def test_the_unit_and_the_place_do_not_matter(scale: float) -> None:
    moved = cloud() * scale
    for one, other in zip(arrays(cloud()), arrays(moved), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(arrays(cloud()), arrays(cloud() + UTM), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_more_columns_than_three_are_left_out() -> None:
    wide = np.column_stack([cloud(), np.full(100, np.nan)])
    for one, other in zip(arrays(cloud()), arrays(wide), strict=True):
        np.testing.assert_array_equal(one, other)


def test_whole_numbers_are_points() -> None:
    whole = np.round(cloud() * 1000).astype(np.int32)
    for one, other in zip(arrays(whole), arrays(whole.astype(np.float64)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_order_in_memory_does_not_matter() -> None:
    for one, other in zip(arrays(cloud()), arrays(np.asfortranarray(cloud())), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_large_cloud_is_thinned_evenly() -> None:
    whole = cloud(3 * MOST_POINTS + 7)
    for one, other in zip(arrays(whole), arrays(whole[::4]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("length", [1, 999, MOST_POINTS, 5 * MOST_POINTS])
def test_how_a_cloud_is_cut_does_not_matter(length: int) -> None:
    whole = np.arange(3.0 * (2 * MOST_POINTS + 5)).reshape(-1, 3)[: 40 * max(length, 5000)]
    cut = (whole[start : start + length] for start in range(0, len(whole), length))
    kept = thinned(cut)
    assert len(kept) <= MOST_POINTS
    np.testing.assert_array_equal(kept, thinned([whole]))
    np.testing.assert_array_equal(kept, whole[:: 1 if len(kept) == len(whole) else 4])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (cloud(31), "fewer points than needed: 31; the model takes 32"),
        (cloud(0), "fewer points than needed: 0"),
        (np.full((100, 3), 500000.1), "all its 100 points are equal: 500000, 500000, 500000"),
        (cloud()[:, :2], r"has shape \(100, 2\); expected \[points, 3 or more\]"),
        (cloud().ravel(), r"has shape \(300,\)"),
        (cloud()[None], r"has shape \(1, 100, 3\)"),
        (np.float64(3), r"has shape \(\)"),
        (cloud().astype(str), "expected real numbers"),
        (cloud().astype(object), "holds object"),
        (cloud().astype(complex), "holds complex128"),
        (cloud() > 0, "holds bool"),
        (np.ma.masked_greater(cloud(), 1), "has masked values"),
        (cloud().tolist(), r"expected an array \[points, 3 .*\], a path or a PointFile, got list"),
        (None, r"expected an array \[points, 3 or more\], a path or a PointFile, got NoneType"),
    ],
)
def test_what_is_no_cloud_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_point_that_is_not_finite_is_told(value: float, dtype: type) -> None:
    points: NDArray[Any] = cloud(2 * MOST_POINTS).astype(dtype)
    points[MOST_POINTS + 3, 1] = value
    points[MOST_POINTS + 5, 0] = value
    with pytest.raises(InputError, match=rf"point {MOST_POINTS + 3}, counted .* y = {value:g}"):
        made(points)


def test_a_fill_value_is_no_coordinate() -> None:
    points = cloud()
    points[7, 2] = np.finfo(np.float32).min
    with pytest.raises(InputError, match=r"point 7, .* z = -3\.40282e\+38"):
        made(points)


def test_an_array_that_gives_none_is_refused() -> None:
    class Elsewhere:
        def __array__(self, *_: object, **__: object) -> NDArray[Any]:
            raise RuntimeError("on another device")

    with pytest.raises(InputError, match="Elsewhere gives no numpy array: on another device"):
        made(Elsewhere())


def test_few_different_points_warn() -> None:
    with pytest.warns(EdgesparkWarning, match="only 5 different points .* takes 32"):
        made(np.tile(cloud(5), (20, 1)))


def test_coordinates_that_float32_made_coarse_warn() -> None:
    far = (cloud() + UTM).astype(np.float32)
    with pytest.warns(EdgesparkWarning, match="rounded to float32, in steps of 0.5"):
        made(far)


def test_an_honest_cloud_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(cloud().astype(np.float32))
        made(cloud() + UTM)


def test_masked_arrays_without_a_mask_are_arrays() -> None:
    for one, other in zip(arrays(cloud()), arrays(np.ma.MaskedArray(cloud())), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_prepares_as_the_runtime_does() -> None:
    direct = prepare(cloud(), RECORD).arrays
    for name, array in made(cloud()).arrays.items():
        np.testing.assert_array_equal(array, direct[name])
