"""What of a raster is not valid: nodata, mask bands, alpha."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Raster
from tests.runtime.scenes import SIZE, imagery, pixels_of, ramp, write_tif

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def test_declared_nodata_is_masked_and_the_callers_goes_before_it(path: Path) -> None:
    array = ramp(1)
    array[0, 0, 0], array[0, 0, 1] = 0, 255
    write_tif(path, array, nodata=0)
    assert pixels_of(path, imagery(1))[1] == 63 / 64
    given, valid = pixels_of(Raster(path, nodata=255), imagery(1, nodata=7.0))
    assert valid == 63 / 64
    assert given[0, 0, 0, 1] == 0


def test_nodata_that_is_declared_as_nan_is_masked(path: Path) -> None:
    array = ramp(1, dtype="float32")
    array[0, 3, 4] = np.nan
    given, valid = pixels_of(write_tif(path, array, nodata=np.nan), imagery(1))
    assert given[0, 0, 3, 4] == 0
    assert valid == 63 / 64


def test_nan_beside_a_number_as_nodata_is_refused(path: Path) -> None:
    array = ramp(1, dtype="float32")
    array[0, 3, 4] = np.nan
    with pytest.raises(InputError, match="holds nan at column 4, row 3"):
        pixels_of(write_tif(path, array, nodata=-9999), imagery(1))


def test_the_records_nodata_holds_where_the_file_declares_none(path: Path) -> None:
    array = ramp(1)
    array[0, 0, 0] = 0
    assert pixels_of(write_tif(path, array), imagery(1, nodata=0.0))[1] == 63 / 64


def test_every_band_has_the_nodata_that_it_declares(path: Path) -> None:
    pair = [write_tif(path.with_name(f"{value}.tif"), ramp(1), nodata=value) for value in (1, 2)]
    both = path.with_suffix(".vrt")
    sources = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><NoDataValue>{i}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{name.name}</SourceFilename></SimpleSource>'
        "</VRTRasterBand>"
        for i, name in enumerate(pair, 1)
    )
    both.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{sources}</VRTDataset>')
    given, valid = pixels_of(both, imagery(2))
    assert valid == 126 / 128
    assert given[0, 0, 0, 0] == 0
    assert given[0, 1, 0, 1] == 0


def test_a_mask_band_is_masked(path: Path) -> None:
    mask = np.ones((SIZE, SIZE), bool)
    mask[:, :3] = False
    write_tif(path, ramp())
    with rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    given, valid = pixels_of(path, imagery())
    np.testing.assert_array_equal(given[0], np.where(mask, ramp(), 0))
    assert valid == 5 / 8


@pytest.mark.parametrize("nodata", [None, 1])
def test_alpha_is_a_mask_and_no_band_beside_nodata_too(path: Path, nodata: int | None) -> None:
    array = ramp(4)
    array[3] = 255
    array[3, :2] = 0
    write_tif(path, array, photometric="rgb", alpha="yes", nodata=nodata)
    given, valid = pixels_of(path, imagery())
    assert not given[0, :, :2].any()
    np.testing.assert_array_equal(given[0, :, 2:], ramp(3)[:, 2:])
    assert valid == 0.75


def test_nodata_that_the_samples_cannot_have_is_refused_where_it_is_the_callers(path: Path) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="uint8 samples cannot have the nodata value -1"):
        pixels_of(Raster(path, nodata=-1), imagery())
