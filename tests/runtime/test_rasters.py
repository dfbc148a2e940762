"""Rasters through rasterio: masks, windows, overviews, ground sizes, and what is refused."""

import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.runtime.scenes import SHARED, SIZE, band, imagery, ramp, write_tif

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.rasters import open_raster

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
NOWHERE = {"crs": None, "transform": (1.0, 0, 0, 0, 1.0, 0)}


def made(raster: Raster | Path, record: Imagery) -> tuple[NDArray[np.float32], float]:
    raster = raster if isinstance(raster, Raster) else Raster(raster)
    with open_raster(raster, record) as grid:
        return pixels(grid, record)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_samples_come_out_as_they_were_written(path: Path, dtype: str, interleave: str) -> None:
    array, valid = made(write_tif(path, ramp(dtype=dtype), interleave=interleave), imagery())
    np.testing.assert_array_equal(array[0], ramp())
    assert valid == 1.0


@pytest.mark.parametrize(("suffix", "driver"), [(".jp2", "JP2OpenJPEG"), (".vrt", "VRT")])
def test_other_kinds_of_raster_are_read_too(path: Path, suffix: str, driver: str) -> None:
    other = path.with_suffix(suffix)
    write_tif(path, ramp(size=64))
    with rasterio.open(path) as source:
        if driver == "VRT":
            from rasterio.shutil import copy

            copy(source, other, driver="VRT")
        else:
            write_tif(other, source.read(), driver=driver, reversible="yes", quality="100")
    np.testing.assert_allclose(made(other, imagery())[0], made(path, imagery())[0], atol=1e-4)


def test_bands_are_counted_from_one_and_in_any_order(path: Path) -> None:
    write_tif(path, ramp(5))
    array, _ = made(Raster(path, bands=(5, 1, 3)), imagery())
    np.testing.assert_array_equal(array[0], ramp(5)[[4, 0, 2]])


def test_the_wrong_number_of_bands_is_told_with_the_names_on_both_sides(path: Path) -> None:
    write_tif(path, ramp(4, dtype="int16"))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["B02", "B03", "B04", "B08"]
    with pytest.raises(InputError) as caught:
        made(path, imagery())
    for said in ("3 (red, green, blue)", "4 bands (1 B02, 2 B03, 3 B04, 4 B08)", "bands="):
        assert said in str(caught.value)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_window_across_blocks_is_read_exactly(path: Path, tiled: bool) -> None:  # noqa: FBT001 a case
    whole = ramp(3, 100, "int16")
    write_tif(path, whole, tiled=tiled, **({"blockxsize": 16, "blockysize": 32} if tiled else {}))
    record = imagery(rows=60, columns=70)
    array, _ = made(Raster(path, window=(23, 37, 70, 60)), record)
    np.testing.assert_array_equal(array[0], whole[:, 37:97, 23:93])


def test_declared_nodata_is_masked_and_the_callers_goes_before_it(path: Path) -> None:
    array = ramp(1)
    array[0, 0, 0], array[0, 0, 1] = 0, 255
    write_tif(path, array, nodata=0)
    assert made(path, imagery(1))[1] == 63 / 64
    given, valid = made(Raster(path, nodata=255), imagery(1, nodata=7.0))
    assert valid == 63 / 64
    assert given[0, 0, 0, 1] == 0


def test_nodata_that_is_declared_as_nan_is_masked(path: Path) -> None:
    array = ramp(1, dtype="float32")
    array[0, 3, 4] = np.nan
    given, valid = made(write_tif(path, array, nodata=np.nan), imagery(1))
    assert given[0, 0, 3, 4] == 0
    assert valid == 63 / 64


def test_nan_beside_a_number_as_nodata_is_refused(path: Path) -> None:
    array = ramp(1, dtype="float32")
    array[0, 3, 4] = np.nan
    with pytest.raises(InputError, match="holds nan at column 4, row 3"):
        made(write_tif(path, array, nodata=-9999), imagery(1))


def test_the_records_nodata_holds_where_the_file_declares_none(path: Path) -> None:
    array = ramp(1)
    array[0, 0, 0] = 0
    assert made(write_tif(path, array), imagery(1, nodata=0.0))[1] == 63 / 64


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
    given, valid = made(both, imagery(2))
    assert valid == 126 / 128
    assert given[0, 0, 0, 0] == 0
    assert given[0, 1, 0, 1] == 0


def test_a_mask_band_is_masked(path: Path) -> None:
    mask = np.ones((SIZE, SIZE), bool)
    mask[:, :3] = False
    write_tif(path, ramp())
    with rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    given, valid = made(path, imagery())
    np.testing.assert_array_equal(given[0], np.where(mask, ramp(), 0))
    assert valid == 5 / 8


@pytest.mark.parametrize("nodata", [None, 1])
def test_alpha_is_a_mask_and_no_band_beside_nodata_too(path: Path, nodata: int | None) -> None:
    array = ramp(4)
    array[3] = 255
    array[3, :2] = 0
    write_tif(path, array, photometric="rgb", alpha="yes", nodata=nodata)
    given, valid = made(path, imagery())
    assert not given[0, :, :2].any()
    np.testing.assert_array_equal(given[0, :, 2:], ramp(3)[:, 2:])
    assert valid == 0.75


def test_nodata_that_the_samples_cannot_have_is_refused_where_it_is_the_callers(path: Path) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="uint8 samples cannot have the nodata value -1"):
        made(Raster(path, nodata=-1), imagery())


def test_a_declared_scale_must_be_the_models(path: Path) -> None:
    write_tif(path, ramp(1))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,), (-0.1,)
    with pytest.raises(InputError, match=r"declares scale 0.0001 and offset -0.1; the model exp"):
        made(path, imagery(1))
    same = imagery(1, bands=(band("a", scale=1e-4, offset=-0.1),))
    assert made(path, same)[0].max() == pytest.approx(64e-4 - 0.1)


GROUNDS: list[tuple[str, dict[str, Any], str]] = [
    ("metres", {"transform": (30.0, 0, 5e5, 0, -30.0, 5e6)}, "60 m x 60 m"),
    ("turned", {"transform": (18.0, 24, 5e5, 24, -18.0, 5e6)}, "60 m x 60 m"),
    ("feet", {"crs": "EPSG:2263", "transform": (100.0, 0, 1e6, 0, -100.0, 2e5)}, "60.96 m x 60.96"),
    (
        "degrees",
        {"crs": "EPSG:4326", "transform": (0.001, 0, 10, 0, -0.001, 60.008)},
        "111.2 m x 222.4 m",
    ),
]


@pytest.mark.parametrize(("name", "place", "said"), GROUNDS, ids=[case[0] for case in GROUNDS])
def test_an_unknown_ground_sampling_distance_warns(
    path: Path, name: str, place: dict[str, Any], said: str
) -> None:
    write_tif(path, ramp(1, 16), **place)
    with pytest.warns(EdgesparkWarning) as told:
        made(path, imagery(1, gsd_high=50.0))
    assert said in str(told[-1].message), name
    assert "1 to 50 m" in str(told[-1].message)


def test_a_known_ground_sampling_distance_does_not_warn(path: Path) -> None:
    write_tif(path, ramp(1, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(path, imagery(1, gsd_low=20.0, gsd_high=20.0))


def test_a_raster_without_a_place_is_read_in_silence(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tif(path, ramp(1), **NOWHERE)
    made(path, imagery(1, gsd_low=1e6, gsd_high=1e6))
    assert capfd.readouterr() == ("", "")


def test_full_resolution_is_read_unless_overviews_are_asked_for(path: Path) -> None:
    whole = np.full((1, 256, 256), 10, np.uint8)
    write_tif(path, whole, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8, 64])
    with rasterio.open(path, "r+", overview_level=2) as file:
        file.write(np.full((1, 32, 32), 99, np.uint8))
    record = imagery(1, gsd_high=1e3)
    assert (made(path, record)[0] == 10).all()
    array, _ = made(Raster(path, overviews=True), record)
    assert (array == 99).all()


def test_overviews_of_an_odd_size_cover_the_whole_raster(path: Path) -> None:
    write_tif(path, ramp(1, 83))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    record = imagery(1, gsd_high=1e3)
    array, valid = made(Raster(path, overviews=True), record)
    assert array.shape == (1, 1, SIZE, SIZE)
    assert valid == 1.0


def test_a_file_without_overviews_is_read_at_full_resolution(path: Path) -> None:
    write_tif(path, ramp(1, 16))
    allowed, _ = made(Raster(path, overviews=True), imagery(1))
    np.testing.assert_array_equal(allowed, made(path, imagery(1))[0])


def test_a_large_raster_is_never_held_whole(path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    size = {"count": 12, "width": 1536, "height": 1536, "dtype": "int16", "driver": "GTiff"}
    place = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    with rasterio.open(path, "w", **tiles, **size, transform=place) as file:
        corner = rasterio.windows.Window(0, 0, 512, 512)
        file.write(np.full((512, 512), 12, np.int16), 1, window=corner)
    record = imagery(12, gsd_high=1e6, nodata=-1.0)
    tracemalloc.start()
    try:
        with open_raster(Raster(path), record) as grid:
            given, _ = pixels(grid, record)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert given[0, 0].mean() == pytest.approx(12 / 9, rel=1e-6)
    assert peak < 24e6  # whole it is 57 MB as int16


def test_a_type_that_the_model_is_not_meant_for_is_refused(path: Path) -> None:
    write_tif(path, ramp().astype("int32"))
    with pytest.raises(InputError, match="holds int32 samples; the model takes uint8, uint16"):
        made(path, imagery())


def test_bands_of_several_types_are_refused(path: Path) -> None:
    source = write_tif(path, ramp(1)).name
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{source}</SourceFilename></SimpleSource></VRTRasterBand>'
        for i, kind in enumerate(("Byte", "Int16"), 1)
    )
    mixed = path.with_suffix(".vrt")
    mixed.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{bands}</VRTDataset>')
    with pytest.raises(InputError, match="several types: int16, uint8"):
        made(mixed, imagery(2))


@pytest.mark.parametrize("window", [(1, 0, 8, 8), (0, 1, 8, 8), (8, 8, 1, 1), (0, 0, 9, 1)])
def test_a_window_that_leaves_the_raster_is_refused(
    path: Path, window: tuple[int, int, int, int]
) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="leaves the raster of 8 columns and 8 rows"):
        made(Raster(path, window=window), imagery())


def test_a_band_that_is_not_there_is_refused(path: Path) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="no band 4; there are 3"):
        made(Raster(path, bands=(1, 2, 4)), imagery())


def test_a_link_dressed_up_as_a_geotiff_is_not_followed(path: Path) -> None:
    real = write_tif(path, ramp(1))
    fake = path.with_name("fake.tif")
    fake.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{real}</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    with pytest.raises(InputError, match="cannot be read as a raster"):
        made(fake, imagery(1))


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "jpeg"])
@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused_in_silence(
    path: Path, compress: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (3, 64, 64), np.uint8)
    data = write_tif(path, noise, compress=compress).read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    with pytest.raises(InputError, match="cannot be read as a raster"):
        made(path, imagery())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("good", "bad"), [(b"\x00\x01\x03\x00\x01\x00\x00\x00", b"\x00\x01\x03\x00\x00\x00\x00\x00")]
)
def test_a_broken_directory_is_refused(path: Path, good: bytes, bad: bytes) -> None:
    data = write_tif(path, ramp(), crs=None).read_bytes()
    assert good in data
    path.write_bytes(data.replace(good, bad))
    with pytest.raises(InputError):
        made(path, imagery())


def test_without_rasterio_the_command_that_installs_it_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tif(path, ramp())
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[geo\]'"):
        made(path, imagery())


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real files are not here")


@needs_shared
def test_overviews_never_stand_in_for_blocks_that_cannot_be_read() -> None:
    path = SHARED / "rasters" / "corrupt.tif"
    with pytest.raises(InputError, match=r"corrupt\.tif: cannot be read as a raster: .*IReadBlock"):
        made(path, imagery())
    array, _ = made(Raster(path, overviews=True), imagery())
    assert array.std() > 1


@needs_shared
def test_a_real_raster_of_nothing_but_nodata_is_refused() -> None:
    with pytest.raises(InputError, match=r"only 0\.00% of its samples are valid \(nodata 0\)"):
        made(SHARED / "rasters" / "all-nodata.tif", imagery(4))


@needs_shared
def test_a_real_raster_with_nan_as_nodata_is_read() -> None:
    with pytest.warns(EdgesparkWarning, match="enlarged"):
        assert made(SHARED / "rasters" / "float_nan.tif", imagery(1))[1] == pytest.approx(5 / 6)


@needs_shared
def test_a_real_scene_agrees_with_gdals_own_mask() -> None:
    path = SHARED / "rasters" / "RGB.byte.tif"
    record = imagery(rows=1, columns=1, gsd_high=1e9)
    with rasterio.open(path) as file:
        whole = file.read(masked=True)
    array, valid = made(path, record)
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
        array, valid = made(location / f"{name}.tif", record)
    np.testing.assert_allclose(array[0], wanted, rtol=1e-5)
    assert valid == 1.0
