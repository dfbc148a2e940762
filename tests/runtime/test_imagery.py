"""From raw samples to pixels: the order of the steps, masks, refusals and warnings."""

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arrays import grid_from_array, open_npy
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Imagery
from tests.runtime.scenes import SIZE, band, imagery, ramp

doubted = pytest.mark.filterwarnings("ignore:.*are outside what the model expects")
stretched = pytest.mark.filterwarnings("ignore:.*are distorted")


def made(
    array: NDArray[Any], record: Imagery, raster: Raster | None = None
) -> tuple[NDArray[np.float32], float]:
    return pixels(grid_from_array(array, raster or Raster("array"), record), record)


@doubted
def test_samples_are_scaled_then_cut_then_normalised() -> None:
    first = band("a", scale=0.5, offset=-1.0, low=0.0, high=10.0, mean=4.0, std=2.0)
    record = imagery(1, bands=(first,), rows=1, columns=3)
    array, valid = made(np.array([[[0, 12, 200]]], np.uint8), record)
    np.testing.assert_array_equal(array, [[[[-2.0, 0.5, 3.0]]]])
    assert array.dtype == np.float32
    assert valid == 1.0


@doubted
@stretched
def test_the_mean_is_taken_before_the_cut() -> None:
    record = imagery(1, bands=(band("a", low=0.0, high=10.0),), rows=1, columns=1)
    array, _ = made(np.array([[[-20, 30]]], np.int16), record)
    assert array.item() == 5.0


@stretched
def test_decibel_bands_are_averaged_as_power() -> None:
    record = imagery(1, decibel=True, rows=1, columns=1)
    array, _ = made(np.array([[[-10.0, -20.0]]]), record)
    assert array.item() == pytest.approx(10 * np.log10((0.1 + 0.01) / 2))


@doubted
def test_decibels_out_of_this_world_are_cut_and_not_lost() -> None:
    record = imagery(1, bands=(band("vv", low=-50, high=30),), decibel=True, rows=2, columns=1)
    array, _ = made(np.array([[[-9e4], [9e4]]]), record)
    np.testing.assert_array_equal(array.ravel(), [-50, 30])


@stretched
@pytest.mark.parametrize("decibel", [False, True])
def test_what_is_masked_does_not_count_and_an_empty_cell_is_the_mean(decibel: bool) -> None:  # noqa: FBT001 a case
    record = imagery(
        1, bands=(band("a", mean=7.0, std=2.0),), rows=1, columns=2, min_valid=0.2, decibel=decibel
    )
    data = np.array([[[11.0, np.inf, np.nan, 3e38]]])
    array, valid = made(np.ma.MaskedArray(data, mask=[[[False, True, True, True]]]), record)
    np.testing.assert_allclose(array, [[[[2.0, 0.0]]]], rtol=1e-6)
    assert valid == 0.25


@stretched
def test_every_band_has_its_own_valid_samples() -> None:
    record = imagery(2, rows=1, columns=1, nodata=0.0)
    array, valid = made(np.array([[[0, 4]], [[2, 4]]], np.uint8), record)
    np.testing.assert_array_equal(array.ravel(), [4, 3])
    assert valid == 0.75


def test_the_callers_nodata_goes_before_the_records() -> None:
    record = imagery(1, rows=1, columns=2, nodata=0.0)
    array, valid = made(np.array([[[0, 4]]], np.uint8), record, Raster("array", nodata=4))
    np.testing.assert_array_equal(array.ravel(), [0, 0])
    assert valid == 0.5
    assert made(np.array([[[0, 4]]], np.uint8), record)[1] == 0.5


def test_nodata_may_be_nan() -> None:
    record = imagery(1, rows=1, columns=2)
    array, valid = made(np.array([[[np.nan, 4]]]), record, Raster("array", nodata=np.nan))
    np.testing.assert_array_equal(array.ravel(), [0, 4])
    assert valid == 0.5


def test_a_records_nodata_that_the_type_cannot_hold_marks_nothing() -> None:
    record = imagery(1, nodata=-9999.0)
    assert made(ramp(1), record)[1] == 1.0


@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_the_order_of_bytes_changes_nothing(dtype: str) -> None:
    array, _ = made(ramp(3, dtype=dtype), imagery(nodata=0.0))
    np.testing.assert_array_equal(array[0], ramp(3))


def test_two_dimensions_do_for_one_band() -> None:
    array, _ = made(ramp(1)[0], imagery(1))
    np.testing.assert_array_equal(array[0], ramp(1))


def test_the_band_order_that_is_asked_for_is_given() -> None:
    array, _ = made(ramp(4), imagery(), Raster("array", bands=(4, 2, 2)))
    np.testing.assert_array_equal(array[0], ramp(4)[[3, 1, 1]])


def test_a_window_is_column_row_width_height() -> None:
    whole = ramp(1, 2 * SIZE, "int16")
    array, _ = made(whole, imagery(1), Raster("array", window=(3, 1, SIZE, SIZE)))
    np.testing.assert_array_equal(array[0], whole[:, 1 : 1 + SIZE, 3 : 3 + SIZE])


FILLS = [np.nan, np.inf, -np.inf, -3.4028234663852886e38]


@pytest.mark.parametrize("value", FILLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_undeclared_value_that_no_sensor_gives_is_told_with_its_place(
    value: float, dtype: str
) -> None:
    array = ramp(3, dtype=dtype)
    array[1, 5, 2] = value
    with pytest.raises(
        InputError, match=r"'green' holds .* column 2, row 5, .*not declared as nodata"
    ):
        made(array, imagery())


def test_an_undeclared_value_in_a_band_that_is_not_taken_does_not_matter() -> None:
    array = ramp(4, dtype="float32")
    array[0] = np.nan
    assert made(array, imagery(), Raster("array", bands=(2, 3, 4)))[1] == 1.0


def test_too_little_that_is_valid_is_told_with_both_shares() -> None:
    array = np.zeros((3, SIZE, SIZE), np.uint8)
    array[:, 0] = 1
    with pytest.raises(InputError, match=r"only 12\.50% .*nodata 0.* needs 50\.00%"):
        made(array, imagery(nodata=0.0))


def test_an_empty_band_beside_full_ones_warns_and_is_the_mean() -> None:
    array = ramp()
    array[2] = 0
    with pytest.warns(EdgesparkWarning, match="no sample of blue is valid"):
        made_array, valid = made(array, imagery(nodata=0.0))
    assert not made_array[0, 2].any()
    assert valid == pytest.approx(2 / 3)


def test_a_small_raster_is_enlarged_with_a_warning() -> None:
    with pytest.warns(EdgesparkWarning, match="2 x 2 pixels are enlarged to the 8 x 8"):
        array, _ = made(ramp(1, 2), imagery(1))
    np.testing.assert_array_equal(array[0, 0], ramp(1, 2)[0].repeat(4, 0).repeat(4, 1))


def test_a_distorted_raster_warns() -> None:
    with pytest.warns(EdgesparkWarning, match="8 x 16 pixels are distorted 2 : 1"):
        made(ramp(1, 16)[:, :, :8], imagery(1))


def test_a_slightly_distorted_raster_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(ramp(1, 12)[:, :, :8], imagery(1))


@pytest.mark.parametrize(
    ("record", "values", "named"),
    [
        ({"scale": 1e-4, "low": 0.0, "high": 1.6}, [[-9, -9], [1, 17000]], "a are"),
        ({"scale": -2.0, "low": 0.0, "high": 8.0}, [[-5, -5], [-5, 0]], "a are"),
        ({"low": 0.0, "high": 8.0}, [[9, 9], [9, 3]], "a, b are"),
    ],
)
def test_a_band_in_another_unit_warns_where_most_of_it_is_outside_its_range(
    record: dict[str, Any], values: list[list[int]], named: str
) -> None:
    bands = (band("a", **record), band("b", high=8.0 if "b" in named else 1e6))
    wanted = imagery(2, bands=bands, rows=2, columns=2, unit="reflectance")
    array = np.array([values, values], np.int16)
    with pytest.warns(EdgesparkWarning, match=f"most samples of {named} .*are they reflectance"):
        made(array, wanted)


def test_half_of_a_band_outside_its_range_and_what_is_masked_there_do_not_warn() -> None:
    record = imagery(1, bands=(band("a", low=0.0, high=9.0),), rows=2, columns=2, nodata=99)
    made(np.array([[[10, 10], [9, 0]]], np.int16), record)
    made(np.array([[[10, 99], [99, 0]]], np.int16), record)


def test_power_that_is_given_as_decibels_warns() -> None:
    vh = band("vh", low=-40.0, high=10.0, mean=-18.6, std=4.6)
    record = imagery(1, bands=(vh,), decibel=True, unit="backscatter in dB", rows=2, columns=2)
    power = np.array([[[0.02, 0.01], [0.3, 0.005]]])
    with pytest.warns(EdgesparkWarning, match="samples of vh .*are they backscatter in dB"):
        made(power, record)
    made(10 * np.log10(power), record)


def test_a_large_file_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", np.int16, (12, 2000, 2000))  # 96 MB, sparse
    large[:, ::500, ::500] = 7
    large.flush()
    record = imagery(12, nodata=-1.0)
    tracemalloc.start()
    try:
        with open_npy(Raster(path), record) as grid:
            pixels(grid, record)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24e6
