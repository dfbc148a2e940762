"""Which bands of a file are the model's: numbers, names, wavelengths, order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.arrays import grid_from_array
from edgespark.runtime.bands import chosen_bands, nanometres, normal_name
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Imagery
from tests.runtime.scenes import band, imagery, pixels_of, ramp, write_tif

SENTINEL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def named(*names: str) -> Imagery:
    return imagery(bands=tuple(band(name) for name in names))


def waves(*lengths: float) -> Imagery:
    return imagery(bands=tuple(band(f"{each:g} nm", wavelength=each) for each in lengths))


def chosen(
    record: Imagery,
    names: Sequence[str],
    waves: Sequence[float | None] = (),
    **part: Any,  # noqa: ANN401 any option
) -> tuple[int, ...]:
    return chosen_bands(Raster("scene.tif", **part), names, record, waves)


@pytest.mark.parametrize(
    ("names", "normal"),
    [
        (("B01", "b1", "Band 1", "band_01", "B 1", "1", "B01 (443 nm)", "B-1"), "b1"),
        (("B8A", "b08a", "Band 8A"), "b8a"),
        (("Red Edge", "red_edge", "red-edge (705.0 Nanometers)"), "rededge"),
        (("VV", "vv "), "vv"),
        (("blue band",), "blueband"),
        (("B10",), "b10"),
    ],
)
def test_ways_to_write_a_name_are_one(names: tuple[str, ...], normal: str) -> None:
    assert {normal_name(name) for name in names} == {normal}


def test_bands_are_taken_by_name_in_the_models_order() -> None:
    record = named("B04", "B03", "B02")
    assert chosen(record, SENTINEL) == (4, 3, 2)
    assert chosen(record, ["Band 2", "Band 3", "Band 4"]) == (3, 2, 1)
    assert chosen(record, ["alpha", "b2", "b3", "b4"]) == (4, 3, 2)
    assert chosen(named(*SENTINEL), SENTINEL[::-1]) == tuple(range(12, 0, -1))


def test_a_picture_of_red_green_blue_gives_blue_green_red_where_that_is_asked() -> None:
    record = named("blue", "green", "red")
    grid = grid_from_array(ramp(), Raster("a.png"), record, ["red", "green", "blue"])
    np.testing.assert_array_equal(pixels(grid, record)[0][0], ramp()[::-1])


def test_the_callers_bands_win_over_names_and_wavelengths() -> None:
    assert chosen(named("B04", "B03"), SENTINEL, bands=(1, 2)) == (1, 2)
    assert chosen(waves(500, 600), ["", ""], [1500, 1600], bands=(2, 1)) == (2, 1)


@pytest.mark.parametrize(
    "names",
    [
        ["", "", ""],
        ["a", "b", "c"],
        ["bands", "bands", "bands"],
        ["Band 1", "Band 2", "Band 3"],
        ["B02", "B02", "B02"],
        ["B04", "x", "y"],
    ],
)
def test_names_that_tell_nothing_leave_the_files_order(names: list[str]) -> None:
    assert chosen(named("B04", "B03", "B02"), names) == (1, 2, 3)


def test_names_that_only_count_are_no_names() -> None:
    with pytest.raises(InputError, match=r"found 5 bands \(1 Band 1, .*expected 2 \(B04, B02\)"):
        chosen(named("B04", "B02"), [f"Band {i}" for i in range(1, 6)])


def test_an_order_against_the_names_is_told() -> None:
    with pytest.warns(EdgesparkWarning, match=r"against their names: 1 \(B04\) as B02, 3 \(B02\)"):
        assert chosen(named("B02", "B03", "B04", "B08"), ["B04", "B03", "B02", "nir"])


def test_names_that_repeat_on_the_models_side_say_nothing() -> None:
    assert chosen(named("red", "red", "green"), ["green", "red", "blue"]) == (1, 2, 3)


def test_the_nearest_wavelengths_are_taken() -> None:
    record = waves(450, 550, 650)
    lengths = [640.0, 445, 455, 552, 900]
    assert chosen(record, [""] * 5, lengths) == (2, 4, 1)  # the first of two as near
    assert chosen(record, ["alpha", "", "", ""], [None, 650, 550, 450]) == (4, 3, 2)


@pytest.mark.parametrize(
    ("record", "lengths", "said"),
    [
        (waves(450, 550), [450, 600], r"near '550 nm' at 550 nm: the nearest, 2 at 600 nm, is 50 "),
        (waves(450, 550), [431.9, 550], r"18\.1 nm away, more than 18; choose what stands for it"),
        (waves(700, 710), [700, 715.5], r"is 5\.5 nm away, more than 5"),
        (waves(1000), [1040.1], r"is 40\.1 nm away, more than 40"),
    ],
)
def test_a_band_that_is_too_far_is_refused(
    record: Imagery, lengths: list[float], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        chosen(record, [""] * len(lengths), lengths)


def test_a_band_that_stands_for_two_of_the_models_is_told() -> None:
    record = waves(490, 665, 842, 865)
    with pytest.warns(EdgesparkWarning, match="its bands 3 for 842 nm and 865 nm are taken more"):
        assert chosen(record, [""] * 3, [490, 665, 865]) == (1, 2, 3, 3)


@pytest.mark.parametrize("lengths", [[900, None], [None, float("nan")], [float("nan")] * 2])
def test_wavelengths_that_lack_or_cannot_be_read_are_told(lengths: list[float | None]) -> None:
    with pytest.raises(InputError, match=r"none that can be read of its bands .*2: choose"):
        chosen(waves(450, 550), ["", ""], lengths)
    assert chosen(waves(450, 550), ["", ""], [None, None]) == (1, 2)
    assert chosen(named("a", "b"), ["", ""], lengths) == (1, 2)


def test_wavelengths_are_not_looked_at_where_the_model_lacks_some() -> None:
    assert chosen(named("a", "b"), ["", ""], [900, 950]) == (1, 2)
    mixed = imagery(bands=(band("a", wavelength=400.0), band("b")))
    assert chosen(mixed, ["", ""], [900, 950]) == (1, 2)


@pytest.mark.parametrize(
    ("value", "unit", "length"),
    [
        ("0.45", "Micrometers", 450),
        ("0.45", "um", 450),
        ("450", "Nanometers", 450),
        ("450", " nm ", 450),
        ("4500", "Angstroms", 450),
        ("10.9", None, 10_900),
        ("450.5", None, 450.5),
        ("450", "Wavenumber", None),
        ("7", "Index", None),
        ("450", "Unknown", None),
        ("nan", "nm", None),
        ("-1", "nm", None),
        ("inf", None, None),
        ("blue", None, None),
        (None, None, None),
    ],
)
def test_wavelengths_are_told_in_many_units(
    value: str | None, unit: str | None, length: float | None
) -> None:
    found = nanometres(value, unit)
    assert found == (None if length is None else pytest.approx(length))


def test_names_and_wavelengths_of_a_geotiff_are_used(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
    path = write_tif(tmp_path / "scene.tif", ramp(5))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["B12", "B8A", "B04", "B03", "B02"]
    np.testing.assert_array_equal(pixels_of(path, named("B02", "B3", "b04"))[0][0], ramp(5)[:1:-1])
    path = write_tif(tmp_path / "waves.tif", ramp(3))
    with rasterio.open(path, "r+") as file:
        for i, length in enumerate(["650", "550", "450"], 1):
            file.update_tags(i, wavelength=length, wavelength_units="nm")
    np.testing.assert_array_equal(pixels_of(path, waves(452, 651))[0][0], ramp(3)[[2, 0]])
    path = write_tif(tmp_path / "gdal.tif", ramp(2))
    with rasterio.open(path, "r+") as file:
        for i, length in enumerate(["0.650", "0.450"], 1):
            file.update_tags(i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=length)
    np.testing.assert_array_equal(pixels_of(path, waves(452, 651))[0][0], ramp(2)[::-1])
