"""Units that are told: scale and offset, by the caller or the file; power and decibels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.arrays import grid_from_array
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Imagery
from tests.runtime.scenes import SIZE, band, imagery, pixels_of, ramp, write_tif

REFLECTANCE: dict[str, Any] = {"scale": 1e-4, "low": 0.0, "high": 1.6}
DECIBEL: dict[str, Any] = {"low": -40.0, "high": 10.0, "mean": -15.0, "std": 5.0}


def reflectance(**changes: Any) -> Imagery:  # noqa: ANN401 any field
    record: dict[str, Any] = {
        "bands": (band("red", **REFLECTANCE),),
        "dtypes": ("uint16",),
        "unit": "reflectance",
    }
    return imagery(**record | changes)


def backscatter(**changes: Any) -> Imagery:  # noqa: ANN401 any field
    record: dict[str, Any] = {"bands": (band("VV", **DECIBEL),), "unit": "dB", "decibel": True}
    return imagery(**record | changes)


def made(
    array: NDArray[Any],
    record: Imagery,
    **part: Any,  # noqa: ANN401 any option
) -> tuple[NDArray[np.float32], float]:
    return pixels(grid_from_array(array, Raster("array", **part), record), record)


def scaled(path: Path, array: NDArray[Any], scale: float, offset: float) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
    write_tif(path, array)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (scale,) * len(array), (offset,) * len(array)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


@pytest.mark.parametrize(
    ("part", "samples"),
    [
        ({"scale": 1.0}, np.float32),
        ({"scale": 0.01}, lambda values: 100 * values),
        ({"scale": 1e-4, "offset": -0.1}, lambda values: 1e4 * (values + 0.1)),
        ({"offset": 0.05}, lambda values: values - 0.05),
        ({"scale": -1, "offset": 1}, lambda values: 1 - values),
    ],
)
def test_the_callers_scale_and_offset_win_and_free_the_type(
    part: dict[str, float],
    samples: Any,  # noqa: ANN401 a function
) -> None:
    values = np.linspace(0.1, 0.9, SIZE * SIZE).reshape(1, SIZE, SIZE)
    array, valid = made(samples(values).astype(np.float32), reflectance(), **part)
    np.testing.assert_allclose(array[0], values, rtol=1e-4)
    assert valid == 1.0


def test_floats_of_an_untold_unit_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"holds float32 samples.*say how they become that with s"):
        made(ramp(1, dtype="float32"), reflectance())
    with pytest.raises(InputError, match="holds bool samples"):
        made(ramp(1, dtype="bool"), reflectance(), scale=1.0)


def test_a_told_unit_that_does_not_fit_warns() -> None:
    with pytest.warns(EdgesparkWarning, match="most samples of red are outside .* reflectance"):
        made(ramp(1, dtype="uint16"), reflectance(), scale=1.0)


def test_options_tell_the_unit() -> None:
    raster = Argument("a.tif?scale=0.0001&offset=-0.1&linear=true").raster()
    assert raster == Raster("a.tif", scale=1e-4, offset=-0.1, linear=True)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"scale": 0}, "scale must be other than 0"),
        ({"scale": float("nan")}, "scale must be a number, got nan"),
        ({"offset": "1"}, "offset must be a number, got '1'"),
    ],
)
def test_what_can_be_no_unit_is_refused(part: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Raster("a.tif", **part)


def test_a_declared_scale_of_the_models_size_is_applied(path: Path) -> None:
    counts = 8000 + 100 * ramp(1, dtype="uint16")
    array, _ = pixels_of(scaled(path, counts, 2.75e-5, -0.2), reflectance())
    np.testing.assert_allclose(array[0], 2.75e-5 * counts - 0.2, rtol=1e-6)


def test_a_declared_scale_far_from_the_models_is_applied_where_only_it_fits(path: Path) -> None:
    kelvin = imagery(bands=(band("heat", low=200.0, high=400.0),), dtypes=("float32",), unit="K")
    counts = 29000 + ramp(1, dtype="uint16")
    array, _ = pixels_of(scaled(path, counts, 0.01, 0.0), kelvin)
    np.testing.assert_allclose(array[0], 0.01 * counts, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "offset", "said"),
    [
        (1.0, 5.0, "scale 1 and offset 5; the model expects 0.0001 and 0 for 'red', and its sampl"),
        (1e-6, 0.0, "its samples fit both: say which they have with scale= and offset="),
        (1e-4, -9.0, "its samples then leave the range"),
        (0.0, 0.0, "declares scale 0 and offset 0, which no sample can have"),
        (float("nan"), 0.0, "declares scale nan"),
    ],
)
def test_a_declared_scale_that_may_not_be_meant_is_refused(
    path: Path, scale: float, offset: float, said: str
) -> None:
    scaled(path, 100 * ramp(1, dtype="uint16"), scale, offset)
    with pytest.raises(InputError, match=said):
        pixels_of(path, reflectance())
    array, _ = pixels_of(Raster(path, scale=1e-4), reflectance())
    assert array.max() == pytest.approx(0.64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_power_becomes_decibels(dtype: str) -> None:
    decibels = np.linspace(-25, -5, SIZE * SIZE).reshape(1, SIZE, SIZE)
    power = (10 ** (decibels / 10)).astype(dtype)
    array, valid = made(power, backscatter(), linear=True)
    np.testing.assert_allclose(array, made(decibels, backscatter())[0], atol=1e-5)
    assert valid == 1.0


def test_power_may_have_a_scale_and_is_averaged_as_power() -> None:
    power = np.array([[[100, 300], [400, 200]]], np.uint16)
    record = backscatter(rows=1, columns=1)
    array, _ = made(power, record, linear=True, scale=1e-4)
    assert array.item() == pytest.approx((10 * np.log10(0.025) + 15) / 5)


def test_zeros_and_less_are_no_power_and_are_counted() -> None:
    power = np.full((1, SIZE, SIZE), 0.1, np.float32)
    power[0, :3], power[0, 3] = 0.0, -1e-6
    array, valid = made(power, backscatter(), linear=True)
    assert valid == 0.5
    np.testing.assert_allclose(array[0, 0, 4:], 1.0, atol=1e-6)
    assert not array[0, 0, :4].any()
    with pytest.raises(
        InputError, match=r"only 50\.00% .* \(nodata none, and power of 0 or less\)"
    ):
        made(power, backscatter(min_valid=0.6), linear=True)


def test_nan_in_power_is_refused_unless_it_is_nodata() -> None:
    power = np.full((1, SIZE, SIZE), 0.1, np.float32)
    power[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="band 'VV' holds nan"):
        made(power, backscatter(), linear=True)
    assert made(power, backscatter(), linear=True, nodata=np.nan)[1] == pytest.approx(63 / 64)


def test_decibels_that_are_called_power_are_told() -> None:
    decibels = np.full((1, SIZE, SIZE), -12.0, np.float32)
    with pytest.raises(InputError, match=r"only 0\.00% of its samples are valid"):
        made(decibels, backscatter(), linear=True)


def test_power_that_is_not_called_so_is_told_with_the_way_out() -> None:
    power = np.full((1, SIZE, SIZE), 0.1, np.float32)
    with pytest.warns(EdgesparkWarning, match=r"are they dB\? If they are power, say linear=true"):
        made(power, backscatter())


def test_power_is_only_for_models_of_decibels() -> None:
    with pytest.raises(InputError, match="linear=true is for power; the model takes reflectance"):
        made(ramp(1, dtype="uint16"), reflectance(), linear=True)
