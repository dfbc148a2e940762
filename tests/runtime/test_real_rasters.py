"""Real files, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from tests.runtime.scenes import SHARED, imagery, pixels_of

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real files are not here")


@needs_shared
def test_overviews_never_stand_in_for_blocks_that_cannot_be_read() -> None:
    path = SHARED / "rasters" / "corrupt.tif"
    with pytest.raises(InputError, match=r"corrupt\.tif: cannot be read as a raster: .*IReadBlock"):
        pixels_of(path, imagery())
    array, _ = pixels_of(Raster(path, overviews=True), imagery())
    assert array.std() > 1


@needs_shared
def test_a_real_raster_of_nothing_but_nodata_is_refused() -> None:
    with pytest.raises(InputError, match=r"only 0\.00% of its samples are valid \(nodata 0\)"):
        pixels_of(SHARED / "rasters" / "all-nodata.tif", imagery(4))


@needs_shared
def test_a_real_raster_with_nan_as_nodata_is_read() -> None:
    with pytest.warns(EdgesparkWarning, match="enlarged"):
        assert pixels_of(SHARED / "rasters" / "float_nan.tif", imagery(1))[1] == pytest.approx(
            5 / 6
        )


@needs_shared
def test_a_real_scene_agrees_with_gdals_own_mask() -> None:
    path = SHARED / "rasters" / "RGB.byte.tif"
    record = imagery(rows=1, columns=1, gsd_high=1e9)
    with rasterio.open(path) as file:
        whole = file.read(masked=True)
    array, valid = pixels_of(path, record)
    np.testing.assert_allclose(array.ravel(), whole.mean((1, 2)), rtol=1e-6)
    assert valid == pytest.approx(whole.count() / whole.size)


LOCATIONS = sorted((SHARED / "terramesh").glob("*"))
SEEN = {
    "S2RGB": imagery(3, dtypes=("uint8",)),
    "S2L2A": imagery(12, dtypes=("int16",)),
    "S1RTC": imagery(2, dtypes=("float64",), decibel=True),
}


@needs_shared
@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("location", LOCATIONS, ids=[each.name for each in LOCATIONS])
def test_real_locations_are_read_by_every_sensor(location: Path, name: str) -> None:
    record = SEEN[name]
    with rasterio.open(location / f"{name}.tif") as file:
        whole = file.read().astype(float)
    cells = (10 ** (whole / 10) if record.decibel else whole).reshape(len(whole), 8, 28, 8, 28)
    means = cells.mean((2, 4))
    wanted = 10 * np.log10(means) if record.decibel else means
    with pytest.warns(EdgesparkWarning, match="covers 280 m x 280 m"):
        array, valid = pixels_of(location / f"{name}.tif", record)
    np.testing.assert_allclose(array[0], wanted, rtol=1e-5)
    assert valid == 1.0
