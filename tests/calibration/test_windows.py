"""A window is chosen exactly where the runtime would take it."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.calibration.sampling import Room
from edgespark.calibration.windows import Ground, is_raster, room_of
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster, Window
from tests.runtime.scenes import SHARED, imagery, pixels_of, ramp, write_tif

rasterio = pytest.importorskip("rasterio", reason="rasters need rasterio")

WHOLE = (0, 0, 8, 8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def taken(path: Path, window: Window, least: float, **options: Any) -> bool:  # noqa: ANN401 a raster's
    """Ask the runtime's reader itself."""
    decibel = options.get("linear", False)
    record = imagery(rows=1, columns=1, min_valid=least, gsd_high=1e9, decibel=decibel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgesparkWarning)  # a band without a sample, say
        try:
            pixels_of(Raster(path, window=window, **options), record)
        except InputError:
            return False
    return True


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1 << 32),
    share=st.floats(0, 0.6),
    least=st.sampled_from([0.01, 0.55, 0.85, 1.0]),
    kind=st.sampled_from(["nodata", "nan", "undeclared", "mask", "alpha", "clean"]),
)
def test_what_suits_is_what_the_runtime_takes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, least: float, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.tif"
    for each in path.parent.glob("drawn.tif*"):
        each.unlink()
    KINDS[kind](path, np.random.default_rng(seed).random((3, 16, 16)) < share)
    for window in ((0, 0, 16, 16), (3, 5, 8, 8), (15, 15, 1, 1)):
        assert Ground(least=least).suits(path, window) == taken(path, window, least)


def holes(array: NDArray[Any], gone: NDArray[np.bool_], value: float) -> NDArray[Any]:
    return np.where(gone, value, array).astype(array.dtype)


def nodata(path: Path, gone: NDArray[np.bool_]) -> None:
    write_tif(path, holes(ramp(3, 16), gone, 0), nodata=0)


def nan(path: Path, gone: NDArray[np.bool_]) -> None:
    write_tif(path, holes(ramp(3, 16, "float32"), gone, np.nan), nodata=np.nan)


def undeclared(path: Path, gone: NDArray[np.bool_]) -> None:
    write_tif(path, holes(ramp(3, 16, "float32"), gone & gone[::-1], np.inf), nodata=0.1)


def mask(path: Path, gone: NDArray[np.bool_]) -> None:
    write_tif(path, ramp(3, 16))
    with rasterio.open(path, "r+") as file:
        file.write_mask(~gone[0])


def alpha(path: Path, gone: NDArray[np.bool_]) -> None:
    opaque = np.where(gone[0], 0, 255).astype(np.uint8)
    write_tif(path, np.concatenate([ramp(3, 16), opaque[None]]), photometric="RGB", alpha="YES")


def clean(path: Path, _: NDArray[np.bool_]) -> None:
    write_tif(path, ramp(3, 16))


KINDS = {
    "nodata": nodata,
    "nan": nan,
    "undeclared": undeclared,
    "mask": mask,
    "alpha": alpha,
    "clean": clean,
}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ({"nodata": "9"}, {"nodata": 9.0}),
        ({"bands": "1,1,2"}, {"bands": (1, 1, 2)}),
        ({"linear": "true"}, {"linear": True}),
        ({"linear": "true", "offset": "-5"}, {"linear": True, "offset": -5.0}),
    ],
)
def test_options_hold_as_the_runtime_understands_them(
    path: Path, text: dict[str, str], options: dict[str, Any]
) -> None:
    array = ramp(3, dtype="float32")
    array[:2, :4], array[2, 4:] = 0, 9
    write_tif(path, array, nodata=0)
    for least in (0.1, 0.4, 0.6, 0.9):
        suits = Ground(least=least, options=text).suits(path, WHOLE)
        assert suits == taken(path, WHOLE, least, **options)


def test_a_whole_number_that_no_sample_can_be_is_no_nodata(path: Path) -> None:
    write_tif(path, ramp())
    assert Ground(least=1, options={"nodata": "-9999"}).suits(path, WHOLE)


def test_a_band_that_is_not_there_is_refused(path: Path) -> None:
    write_tif(path, ramp())
    with pytest.raises(InputError, match="has 3 bands"):
        Ground(least=1, options={"bands": "4"}).suits(path, WHOLE)


def test_a_window_of_many_pieces_is_counted_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = ramp(1, 64)
    array[:, :, :16] = 0
    write_tif(path, array, nodata=0, tiled=True, blockxsize=16, blockysize=16)
    for most in (1, 100, 1 << 20):
        monkeypatch.setattr("edgespark.calibration.windows.MOST_SAMPLES", most)
        assert Ground(least=0.75).suits(path, (0, 0, 64, 64))
        assert not Ground(least=0.7501).suits(path, (0, 0, 64, 64))


def test_envi_is_a_raster_by_its_header_and_short_data_are_refused(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "scene.dat", ramp(), driver="ENVI")
    stray = tmp_path / "stray.dat"
    stray.write_bytes(b"0")
    assert is_raster(path)
    assert is_raster(path.with_suffix(".hdr"))
    assert not is_raster(stray)
    assert room_of(path, 4) == Room(columns=8, rows=8, size=4)
    assert Ground(least=1).suits(path.with_suffix(".hdr"), WHOLE)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="bytes"):
        room_of(path, 4)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no raster at all"])
def test_what_is_no_raster_is_told_by_its_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scene\.tif: cannot be read as a raster"):
        room_of(path, 8)


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real files are not here")


@needs_shared
def test_overviews_never_stand_in_for_blocks_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match=r"corrupt\.tif: cannot be read as a raster"):
        Ground(least=0.5).suits(SHARED / "rasters" / "corrupt.tif", (0, 0, 1024, 1024))


@needs_shared
@pytest.mark.parametrize("window", [(0, 0, 100, 100), (350, 300, 100, 100), (80, 0, 300, 400)])
def test_a_real_scene_is_judged_as_the_runtime_judges_it(window: Window) -> None:
    path = SHARED / "rasters" / "RGB.byte.tif"
    for least in (0.05, 0.35, 0.65, 0.95):
        assert Ground(least=least).suits(path, window) == taken(path, window, least)
