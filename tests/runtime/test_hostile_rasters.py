"""Rasters that are made to mislead: names, offsets, wavelengths, scales, and thousands of bands."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.arrays import grid_from_array
from edgespark.runtime.bands import chosen_bands
from edgespark.runtime.cli import main
from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import MOST, Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.rasters import open_envi, open_raster
from tests.runtime.scenes import band, imagery, pixels_of, ramp, write_tif

pytest.importorskip("rasterio", reason="rasters need rasterio")

from tests.runtime.test_envi import write as write_envi

LENGTHS = (450.0, 550.0, 650.0)
WAVES = imagery(bands=tuple(band(f"{each:g}", wavelength=each) for each in LENGTHS))


def envi_of(path: Path, **part: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 any option
    with open_envi(Raster(path, **part), WAVES) as grid:
        return pixels(grid, WAVES)[0]


@pytest.mark.parametrize("name", [b"\xff\xe9.tif", b"\xff\xe9.img"])
def test_a_name_that_is_no_utf8_is_told(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.write_bytes(b"II*\0")
    except OSError:
        pytest.skip("this filesystem has only names of UTF-8")
    path.with_suffix(".hdr").write_text("ENVI\n")
    opened = open_raster if name.endswith(b"tif") else open_envi
    with (
        pytest.raises(InputError, match=r"its name, .*, is not UTF-8, as rasterio needs: rename"),
        opened(Raster(path), imagery()),
    ):
        pass


@pytest.mark.parametrize("digits", ["²", "n" * 5000])
def test_an_offset_that_no_file_has_is_told_in_short(tmp_path: Path, digits: str) -> None:
    path = write_envi(tmp_path / "scene.img", ramp(), {"header offset": digits})
    with pytest.raises(InputError, match=r"header offset = .*, which is none") as caught:
        envi_of(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("digits", ["0" * 5000, "", "00"])
def test_an_offset_of_many_zeros_is_0(tmp_path: Path, digits: str) -> None:
    path = write_envi(tmp_path / "scene.img", ramp(), {"header offset": digits})
    np.testing.assert_array_equal(envi_of(path, bands=(1, 2, 3))[0], ramp())


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"wavelength": "{650, n/a, 450}", "wavelength units": "nm"}, "2"),
        ({"wavelength": "{650, 550, 450}", "wavelength units": "furlongs"}, "1, 2, 3"),
        ({"wavelength": "{650, 550}", "wavelength units": "nm"}, "3"),
        ({"wavelength": "{650, , 450}"}, "2"),
        ({"wavelength": "650 550 450"}, "1, 2, 3"),
    ],
)
def test_wavelengths_that_cannot_all_be_read_are_not_overlooked(
    tmp_path: Path, fields: dict[str, str], lacking: str
) -> None:
    path = write_envi(tmp_path / "scene.img", ramp(), fields)
    said = rf"tells wavelengths, but none that can be read of its bands {lacking}: .*with bands="
    with pytest.raises(InputError, match=said):
        envi_of(path)
    np.testing.assert_array_equal(envi_of(path, bands=(3, 2, 1))[0], ramp()[::-1])


@pytest.mark.parametrize("fields", [{}, {"wavelength": "{}"}, {"wavelength units": "Unknown"}])
def test_no_wavelengths_leave_the_files_order(tmp_path: Path, fields: dict[str, str]) -> None:
    path = write_envi(tmp_path / "scene.img", ramp(), fields)
    np.testing.assert_array_equal(envi_of(path)[0], ramp())


@pytest.mark.parametrize(
    ("scale", "offset"), [(1e308, None), (-1e300, 0), (1e-20, 0), (None, 1e200), (2, -1e16)]
)
def test_a_scale_that_no_unit_has_is_refused(scale: float | None, offset: float | None) -> None:
    with pytest.raises(InputError, match=r"scale must be from 1e-15 to 1e\+15, .* got scale="):
        Raster("scene.tif", scale=scale, offset=offset)


@pytest.mark.parametrize("scale", [MOST, -MOST, 1 / MOST])
def test_the_greatest_scales_give_finite_numbers(scale: float) -> None:
    record = imagery()
    raster = Raster("array", scale=scale, offset=MOST)
    with pytest.warns(UserWarning, match="outside what the model expects"):
        array, _ = pixels(grid_from_array(np.full((3, 8, 8), 1e30), raster, record), record)
    assert np.isfinite(array).all()


def test_a_declared_scale_that_no_unit_has_is_refused(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
    path = write_tif(tmp_path / "scene.tif", ramp())
    with rasterio.open(path, "r+") as file:
        file.scales = (1e308,) * 3
    with pytest.raises(InputError, match=r"declares scale 1e\+308 and offset 0, which no sample"):
        pixels_of(path, imagery())
    assert pixels_of(Raster(path, scale=1), imagery())[1] == 1.0


class Name(str):
    """A name that says how often it was compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str(self) == other

    def __hash__(self) -> int:
        return hash(str(self))


def test_many_named_bands_are_not_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgespark.runtime.bands.normal_name", Name)
    monkeypatch.setattr(Name, "compared", 0)
    names = [f"chan {i}" for i in range(300)]
    with pytest.raises(InputError, match="found 300 bands"):
        chosen_bands(Raster("scene.tif"), names, imagery())
    assert Name.compared < 10 * len(names)


@pytest.mark.parametrize("command", ["run", "inspect", "verify"])
def test_an_empty_path_of_a_bundle_is_not_the_current_folder(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main([command, ""]) == 2
    assert "the path of the bundle is empty" in capsys.readouterr().err
