"""ENVI files, by their header or their data: bands, units, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.envi import data_file
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.rasters import open_envi
from tests.runtime.scenes import SIZE, band, imagery, ramp

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
TYPES = {"uint8": 1, "int16": 2, "float32": 4, "float64": 5, "uint16": 12}
PLACE = "{UTM, 1, 1, 500000, 5000000, 10, 10, 33, North, WGS-84}"


def write(
    path: Path,
    array: NDArray[Any],
    fields: dict[str, str] | None = None,
    interleave: str = "bsq",
    header: str = ".hdr",
) -> Path:
    """Write [bands, rows, columns] as an ENVI file; the header's name ends in `header`."""
    bands, rows, columns = array.shape
    plain = {
        "samples": str(columns),
        "lines": str(rows),
        "bands": str(bands),
        "header offset": "0",
        "file type": "ENVI Standard",
        "data type": str(TYPES[array.dtype.name]),
        "interleave": interleave,
        "byte order": "1" if array.dtype.byteorder == ">" else "0",
        "map info": PLACE,
    }
    lines = [f"{key} = {value}" for key, value in (plain | (fields or {})).items()]
    text = "\n".join(["ENVI", *lines, ""])
    path.write_bytes(array.transpose(AXES[interleave]).tobytes())
    name = path.with_suffix(".hdr") if header == ".hdr" else path.with_name(path.name + ".hdr")
    name.write_text(text, encoding="utf-8")
    return path


def envi(raster: Raster | Path, record: Imagery) -> NDArray[np.float32]:
    with open_envi(raster if isinstance(raster, Raster) else Raster(raster), record) as grid:
        array: NDArray[np.float32] = pixels(grid, record)[0][0]
    return array


def spectra(*lengths: float, **changes: Any) -> Imagery:  # noqa: ANN401 any field of a band
    return imagery(bands=tuple(band(f"{x:g} nm", wavelength=x, **changes) for x in lengths))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.dat"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", ">i2"])
@pytest.mark.parametrize("interleave", AXES)
def test_samples_come_out_as_they_were_written(path: Path, interleave: str, dtype: str) -> None:
    write(path, ramp(dtype=dtype), interleave=interleave)
    np.testing.assert_array_equal(envi(path, imagery()), ramp())


@pytest.mark.parametrize("header", [".hdr", ".dat.hdr"])
@pytest.mark.parametrize("name", ["a.dat", "a.img", "a.bsq", "a", "a.raw", "a?b=1.dat", "a.b.img"])
def test_header_and_data_mean_the_same(path: Path, name: str, header: str) -> None:
    path = write(path.with_name(name), ramp(), header=header)
    found = path.with_suffix(".hdr") if header == ".hdr" else path.with_name(name + ".hdr")
    np.testing.assert_array_equal(envi(path, imagery()), ramp())
    np.testing.assert_array_equal(envi(found, imagery()), ramp())


def test_bands_are_found_by_wavelength_in_any_unit(path: Path) -> None:
    units = {"wavelength": "{0.65, 0.4501, 0.55}", "wavelength units": "Micrometers"}
    write(path, ramp(), units)
    np.testing.assert_array_equal(envi(path, spectra(450, 650)), ramp()[[1, 0]])
    write(path, ramp(), {"wavelength": "{650, 450.1, 550}"})
    np.testing.assert_array_equal(envi(path, spectra(450, 650)), ramp()[[1, 0]])
    with pytest.raises(InputError, match=r"has no band near '500 nm' at 500 nm: the nearest, 2"):
        envi(path, spectra(500, 650))
    np.testing.assert_array_equal(envi(Raster(path, bands=(3, 1)), spectra(500, 650)), ramp()[::-2])


def test_bands_are_found_by_name_beside_wavelengths(path: Path) -> None:
    fields = {"wavelength": "{1, 2, 3}", "wavelength units": "Nanometers"}
    write(path, ramp(), fields | {"band names": "{Blue, Green, Red}"})
    np.testing.assert_array_equal(envi(path, imagery()), ramp()[::-1])


def test_bands_that_are_marked_bad_are_told(path: Path) -> None:
    write(path, ramp(4), {"bbl": "{1, 0, 1, 0}"})
    with pytest.warns(EdgesparkWarning, match="its header marks bands 2 as bad"):
        envi(Raster(path, bands=(1, 2, 3)), imagery())
    envi(Raster(path, bands=(1, 3, 3)), imagery())


def test_the_ignore_value_is_nodata(path: Path) -> None:
    array = ramp(1, dtype="int16")
    array[0, 0, :4] = -9999
    write(path, array, {"data ignore value": "-9999"})
    with open_envi(Raster(path), imagery(1)) as grid:
        assert pixels(grid, imagery(1))[1] == pytest.approx(60 / 64)


@pytest.mark.parametrize(
    ("fields", "scale", "offset"),
    [
        ({"reflectance scale factor": "40000"}, 1 / 40000, 0),
        ({"data gain values": "{2e-4}", "data offset values": "{0.1}"}, 2e-4, 0.1),
    ],
)
def test_a_scale_of_the_header_is_applied(
    path: Path, fields: dict[str, str], scale: float, offset: float
) -> None:
    record = imagery(bands=(band("red", scale=1e-4, low=0.0, high=1.6),), dtypes=("uint16",))
    counts = 40 * ramp(1, dtype="uint16")
    write(path, counts, fields)
    np.testing.assert_allclose(envi(path, record), scale * counts + offset, rtol=1e-6)


def test_a_window_is_read_and_the_place_is_known(path: Path) -> None:
    whole = ramp(3, 32)
    write(path, whole, interleave="bil")
    window = Raster(path, window=(5, 7, SIZE, SIZE))
    np.testing.assert_array_equal(envi(window, imagery()), whole[:, 7 : 7 + SIZE, 5 : 5 + SIZE])
    with open_envi(window, imagery()) as grid:
        assert grid.extent == pytest.approx((80, 80))


@pytest.mark.parametrize("name", ["scene.dat", "scene.img", "scene"])
def test_data_without_a_header_are_refused(path: Path, name: str) -> None:
    path.with_name(name).write_bytes(bytes(9))
    with pytest.raises(InputError, match=rf"no header {name}\.hdr or scene\.hdr beside it"):
        data_file(path.with_name(name))


def test_a_header_without_its_data_is_refused(path: Path) -> None:
    write(path, ramp())
    path.unlink()
    with pytest.raises(InputError, match=r"there is no data file beside it: scene, scene\.dat, "):
        data_file(path.with_suffix(".hdr"))
    with pytest.raises(MissingInput):
        data_file(path)
    path.touch()
    path.with_suffix(".img").touch()
    with pytest.raises(InputError, match=r"could be its data: scene\.dat, scene\.img: give the"):
        data_file(path.with_suffix(".hdr"))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_data_that_were_cut_off_are_refused(path: Path, kept: float) -> None:
    data = write(path, ramp(dtype="int16")).read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=r"scene\.(dat|hdr): "):
        envi(path.with_suffix(".hdr"), imagery())


BAD = {
    "other": ("BYTEORDER I\nNROWS 8\n", "cannot be read as a raster"),
    "empty": ("", "cannot be read as a raster"),
    "half": ("ENVI\nsamples = 8\n", "cannot be read as a raster"),
    "minus": ("ENVI\nsamples = -8\nlines = 8\nbands = 3\ndata type = 1\n", "cannot be read as"),
    "type": ("ENVI\nsamples = 8\nlines = 8\nbands = 3\ndata type = 99\n", "cannot be read as"),
    "complex": ("ENVI\nsamples = 2\nlines = 2\nbands = 3\ndata type = 6\n", "complex64 samples"),
    "huge": ("ENVI\nsamples = 9999999\nlines = 9999\nbands = 3\ndata type = 1\n", "scene.dat: "),
    "factor": (
        "ENVI\nsamples = 8\nlines = 8\nbands = 3\ndata type = 1\nreflectance scale factor = 0\n",
        "reflectance scale factor = '0', which is none",
    ),
    "offset": (
        "ENVI\nsamples = 8\nlines = 8\nbands = 3\ndata type = 1\nheader offset = x\n",
        "scene.dat: ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_header_is_refused(path: Path, name: str) -> None:
    write(path, ramp())
    path.with_suffix(".hdr").write_text(BAD[name][0])
    with pytest.raises(InputError, match=BAD[name][1]):
        envi(path, imagery())


def test_a_header_of_another_encoding_is_read_but_for_band_names(path: Path) -> None:
    header = path.with_suffix(".hdr")
    write(path, ramp(), {"description": "{Größe}", "é": "1"})
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1"))
    np.testing.assert_array_equal(envi(path, imagery()), ramp())
    write(path, ramp(), {"band names": "{Größe, b, c}"})
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read as a raster: 'utf-8' codec"):
        envi(path, imagery())
