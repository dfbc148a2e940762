"""Rasters through rasterio: masks, windows, overviews, ground sizes, and what is refused."""

import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.rasters import CACHE, open_raster
from tests.runtime.scenes import SIZE, band, imagery, pixels_of, ramp, write_tif

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")
NOWHERE = {"crs": None, "transform": (1.0, 0, 0, 0, 1.0, 0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_samples_come_out_as_they_were_written(path: Path, dtype: str, interleave: str) -> None:
    array, valid = pixels_of(write_tif(path, ramp(dtype=dtype), interleave=interleave), imagery())
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
    np.testing.assert_allclose(
        pixels_of(other, imagery())[0], pixels_of(path, imagery())[0], atol=1e-4
    )


@pytest.mark.parametrize(
    "name", ["a?b", "a?bands=1", "a#b", "a%20b", "a!b", "zip+s3:a", "GTIFF_DIR:1:a", "é"]
)
def test_a_name_is_only_a_name(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_tif(path, ramp()).read_bytes()
    monkeypatch.chdir(path.parent)
    Path(f"{name}.tif").write_bytes(written)
    assert pixels_of(Raster(f"{name}.tif"), imagery())[1] == 1.0


def test_bands_are_counted_from_one_and_in_any_order(path: Path) -> None:
    write_tif(path, ramp(5))
    array, _ = pixels_of(Raster(path, bands=(5, 1, 3)), imagery())
    np.testing.assert_array_equal(array[0], ramp(5)[[4, 0, 2]])


def test_the_wrong_number_of_bands_is_told_with_the_names_on_both_sides(path: Path) -> None:
    write_tif(path, ramp(4, dtype="int16"))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["B02", "B03", "B04", "B08"]
    with pytest.raises(InputError) as caught:
        pixels_of(path, imagery())
    for said in ("3 (red, green, blue)", "4 bands (1 B02, 2 B03, 3 B04, 4 B08)", "bands="):
        assert said in str(caught.value)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_window_across_blocks_is_read_exactly(path: Path, tiled: bool) -> None:  # noqa: FBT001 a case
    whole = ramp(3, 100, "int16")
    write_tif(path, whole, tiled=tiled, **({"blockxsize": 16, "blockysize": 32} if tiled else {}))
    record = imagery(rows=60, columns=70)
    array, _ = pixels_of(Raster(path, window=(23, 37, 70, 60)), record)
    np.testing.assert_array_equal(array[0], whole[:, 37:97, 23:93])


def test_a_declared_scale_must_be_the_models(path: Path) -> None:
    write_tif(path, ramp(1))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,), (-0.1,)
    with pytest.raises(InputError, match=r"declares scale 0.0001 and offset -0.1; the model exp"):
        pixels_of(path, imagery(1))
    same = imagery(1, bands=(band("a", scale=1e-4, offset=-0.1),))
    assert pixels_of(path, same)[0].max() == pytest.approx(64e-4 - 0.1)


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
        pixels_of(path, imagery(1, gsd_high=50.0))
    assert said in str(told[-1].message), name
    assert "1 to 50 m" in str(told[-1].message)


def test_a_known_ground_sampling_distance_does_not_warn(path: Path) -> None:
    write_tif(path, ramp(1, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels_of(path, imagery(1, gsd_low=20.0, gsd_high=20.0))


def test_a_raster_without_a_place_is_read_in_silence(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tif(path, ramp(1), **NOWHERE)
    pixels_of(path, imagery(1, gsd_low=1e6, gsd_high=1e6))
    assert capfd.readouterr() == ("", "")


def test_full_resolution_is_read_unless_overviews_are_asked_for(path: Path) -> None:
    whole = np.full((1, 256, 256), 10, np.uint8)
    write_tif(path, whole, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8, 64])
    with rasterio.open(path, "r+", overview_level=2) as file:
        file.write(np.full((1, 32, 32), 99, np.uint8))
    record = imagery(1, gsd_high=1e3)
    assert (pixels_of(path, record)[0] == 10).all()
    array, _ = pixels_of(Raster(path, overviews=True), record)
    assert (array == 99).all()


def test_overviews_of_an_odd_size_cover_the_whole_raster(path: Path) -> None:
    write_tif(path, ramp(1, 83))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    record = imagery(1, gsd_high=1e3)
    array, valid = pixels_of(Raster(path, overviews=True), record)
    assert array.shape == (1, 1, SIZE, SIZE)
    assert valid == 1.0


def test_a_file_without_overviews_is_read_at_full_resolution(path: Path) -> None:
    write_tif(path, ramp(1, 16))
    allowed, _ = pixels_of(Raster(path, overviews=True), imagery(1))
    np.testing.assert_array_equal(allowed, pixels_of(path, imagery(1))[0])


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
        pixels_of(path, imagery())


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
        pixels_of(mixed, imagery(2))


@pytest.mark.parametrize("window", [(1, 0, 8, 8), (0, 1, 8, 8), (8, 8, 1, 1), (0, 0, 9, 1)])
def test_a_window_that_leaves_the_raster_is_refused(
    path: Path, window: tuple[int, int, int, int]
) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="leaves the raster of 8 columns and 8 rows"):
        pixels_of(Raster(path, window=window), imagery())


def test_a_band_that_is_not_there_is_refused(path: Path) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="no band 4; there are 3"):
        pixels_of(Raster(path, bands=(1, 2, 4)), imagery())


def test_a_link_dressed_up_as_a_geotiff_is_not_followed(path: Path) -> None:
    real = write_tif(path, ramp(1))
    fake = path.with_name("fake.tif")
    fake.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{real}</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    with pytest.raises(InputError, match="cannot be read as a raster"):
        pixels_of(fake, imagery(1))


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "jpeg"])
@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused_in_silence(
    path: Path, compress: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (3, 64, 64), np.uint8)
    data = write_tif(path, noise, compress=compress).read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    with pytest.raises(InputError, match="cannot be read as a raster"):
        pixels_of(path, imagery())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("good", "bad"), [(b"\x00\x01\x03\x00\x01\x00\x00\x00", b"\x00\x01\x03\x00\x00\x00\x00\x00")]
)
def test_a_broken_directory_is_refused(path: Path, good: bytes, bad: bytes) -> None:
    data = write_tif(path, ramp(), crs=None).read_bytes()
    assert good in data
    path.write_bytes(data.replace(good, bad))
    with pytest.raises(InputError):
        pixels_of(path, imagery())


def test_without_rasterio_the_command_that_installs_it_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tif(path, ramp())
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[geo\]'"):
        pixels_of(path, imagery())


@pytest.mark.parametrize("chosen", [None, "1000000"])
def test_gdal_keeps_little_of_a_raster_unless_its_user_chose_how_much(
    path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    if chosen is not None:
        monkeypatch.setenv("GDAL_CACHEMAX", chosen)
    with open_raster(Raster(write_tif(path, ramp())), imagery()):
        kept = rasterio.env.get_gdal_config("GDAL_CACHEMAX")
    assert (kept == CACHE) is (chosen is None)


def test_a_window_touches_no_block_beside_it(path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 9, (3, 256, 256)).astype(np.uint8)
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    data = bytearray(write_tif(path, whole, **blocks).read_bytes())
    data[-len(data) // 2 :] = bytes(len(data) // 2 + len(data) % 2)
    path.write_bytes(data)
    record = imagery(rows=50, columns=60)
    array, _ = pixels_of(Raster(path, window=(2, 3, 60, 50)), record)
    np.testing.assert_array_equal(array[0], whole[:, 3:53, 2:62])
    with pytest.raises(InputError, match="cannot be read as a raster"):
        pixels_of(path, record)
