"""Pictures, in memory and in files: what CLIP gets of them, and what is refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra, MissingInput
from edgespark.runtime.grid import Raster
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import Picture
from edgespark.runtime.views.bicubic import Bytes, resized
from edgespark.runtime.views.files import PictureFile
from edgespark.runtime.views.prepare import scaled
from edgespark.runtime.views.read import read_picture
from tests.runtime.whole import Whole

CASES = Path(__file__).parent / "cases" / "views"
SIZE = 8
RECORD = Picture(size=SIZE, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
PLAIN = Picture(size=SIZE, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # gives 0…255
ORIENTATION = 0x0112

UNCLEAR = "samples; a picture has uint8 samples, 0…255: convert them, or say with range=LOW,HIGH"
SAID = {
    "all_nodata.tif": "has no valid sample: all are missing or transparent",
    "bands_last.npy": r"found 5 bands .*, expected 3 \(red, green, blue\)",
    "cmyk.jpg": "is a CMYK picture",
    "colours_of_16_bits.png": "has 16 bits a colour; expected 8",
    "complex.npy": "holds complex128 samples",
    "complex.tif": "holds complex64 samples",
    "cut_off.jpg": "cannot be read as PNG or JPEG: image file is truncated",
    "cut_off.npy": r"is no \.npy file of numbers",
    "cut_off.png": "cannot be read as PNG or JPEG: image file is truncated",
    "cut_off.tif": "cannot be read as a raster: ",
    "depth.png": f"holds uint16 {UNCLEAR}",
    "empty.jpg": "cannot be read as PNG or JPEG",
    "empty.npy": r"is no \.npy file of numbers",
    "empty.png": "cannot be read as PNG or JPEG",
    "empty.tif": "cannot be read as a raster",
    "five_bands.tif": r"found 5 bands .*, expected 3 .*: choose them with bands=",
    "flat.npy": r"has shape \(576,\); expected \[bands, rows, columns\]",
    "floats.npy": f"holds float64 {UNCLEAR}",
    "floats.tif": f"holds float32 {UNCLEAR}",
    "frames.npy": r"has shape \(1, 3, 12, 16\)",
    "many_pixels.png": "could be decompression bomb",
    "no_rows.npy": "is empty: 16 columns, 0 rows",
    "nothing.npy": r"has shape \(\)",
    "objects.npy": r"is no \.npy file of numbers",
    "picture.gif": r"cannot tell what it is by '\.gif'; there are: \.png, ",
    "renamed.png": "cannot be read as PNG or JPEG",
    "scaled.tif": "declares scale 0.0001 and offset 0; a picture has uint8 samples",
    "sixteen_bits.tif": f"holds uint16 {UNCLEAR}",
    "text.png": "cannot be read as PNG or JPEG",
    "text.tif": "cannot be read as a raster",
    "transparent.png": "has no valid sample",
    "truths.npy": "holds bool samples",
    "two_bands.tif": r"found 2 bands .*, expected 3 \(red, green, blue\)",
}


def noise(rows: int, columns: int, bands: int = 3, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (bands, rows, columns), dtype=np.uint8)


def made(value: object, record: Picture = PLAIN) -> Prepared:
    return read_picture(record, value, lambda _: [])


def seen(value: object) -> NDArray[np.float64]:
    """Return the bytes that the encoder gets, [3, SIZE, SIZE]."""
    array = made(value).arrays["pixels"]
    assert array.dtype == np.float32
    assert array.shape == (1, 3, SIZE, SIZE)
    return np.asarray(array[0].round(3), np.float64)


def cut(image: Bytes, rows: int, columns: int, row: int, column: int) -> Bytes:
    return resized(Whole(image=image), rows, columns).read((column, row, SIZE, SIZE))


def pillow() -> Any:  # noqa: ANN401 it may be absent
    return pytest.importorskip("PIL.Image", reason="pictures need Pillow")


def write_tif(path: Path, array: NDArray[Any], **profile: Any) -> Path:  # noqa: ANN401 GDAL's options
    pytest.importorskip("rasterio", reason="GeoTIFFs need rasterio")
    from tests.runtime.scenes import write_tif as write

    return write(path, array, **profile)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


@pytest.mark.parametrize(
    ("shape", "size", "corner"),
    [
        ((16, 16), (8, 8), (0, 0)),
        ((16, 20), (8, 10), (0, 1)),
        ((20, 15), (10, 8), (1, 0)),
        ((16, 18), (8, 9), (0, 0)),  # a half is rounded to even: 0.5 to 0
        ((16, 22), (8, 11), (0, 2)),  # and 1.5 to 2
        ((7, 9), (8, 10), (0, 1)),  # 10.28 is cut, not rounded
        ((15, 8), (15, 8), (4, 0)),  # 3.5
    ],
)
def test_the_middle_square_of_the_resized_picture_is_taken(
    shape: tuple[int, int], size: tuple[int, int], corner: tuple[int, int]
) -> None:
    assert scaled(SIZE, *shape) == size
    image = noise(*shape)
    np.testing.assert_array_equal(seen(image), cut(image, *size, *corner))


def test_colours_are_normalised_in_float32() -> None:
    image = noise(SIZE, SIZE)
    mean, std = (np.array(each, np.float32) for each in (RECORD.mean, RECORD.std))
    wanted = (image.astype(np.float32) / np.float32(255) - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_array_equal(made(image, RECORD).arrays["pixels"][0], wanted)


@pytest.mark.parametrize("grey", [noise(9, 9, 1), noise(9, 9, 1)[0]], ids=["one band", "no band"])
def test_grey_stands_for_all_three_colours(grey: Bytes) -> None:
    np.testing.assert_array_equal(seen(grey), seen(np.broadcast_to(grey, (3, 9, 9))))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3)])
def test_tiny_pictures_are_enlarged(size: tuple[int, int]) -> None:
    assert seen(np.full((3, *size), 77, np.uint8)).tolist() == [[[77.0] * SIZE] * SIZE] * 3


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_of_long_pictures_the_middle_is_taken_with_a_warning(size: tuple[int, int]) -> None:
    image = np.zeros((3, *size), np.uint8)
    middle = slice(49_990, 50_010)
    image[:, :, middle] = image[:, middle] = 9
    with pytest.warns(EdgesparkWarning, match="only the square in its middle is looked at"):
        assert (seen(image) == 9).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (noise(5, 5, 2), "found 2 bands"),
        (noise(5, 5, 4), "found 4 bands"),
        (noise(5, 6).transpose(1, 2, 0), "are its bands last"),
        (noise(5, 5)[None], "has shape"),
        (np.zeros((3, 0, 5), np.uint8), "is empty"),
        (np.zeros((0, 5, 5), np.uint8), "found 0 bands"),
        (noise(5, 5) / 255, f"holds float64 {UNCLEAR}"),
        (np.full((3, 5, 5), np.nan), "holds float64"),
        (noise(5, 5).astype(np.uint16), "holds uint16"),
        (noise(5, 5) > 9, "holds bool"),
        (np.array("bird"), "holds <U4"),
        (np.ma.MaskedArray(noise(5, 5), mask=True), "has no valid sample"),
        (None, r"expected an array \[3 or 1, rows, columns\] of uint8, a path"),
        ([[1, 2]], "got list"),
        ("", "expected the path of a picture"),
        (Argument("?range=0,9"), "expected the path of a picture"),
        (Argument("a.png?scale=2"), "no option 'scale'; there are: bands, window, range"),
        (Argument("a.png?range=5"), r"is malformed; it looks like range=0,10000"),
        (Argument("a.png?range=5,5"), "range must be two different numbers"),
        (Argument("a.png?range=nan,5"), "range must be two different numbers"),
        (Argument("a.png?range=0,1e999"), "range must be two different numbers"),
    ],
)
def test_what_is_no_picture_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


@pytest.mark.parametrize(
    "options",
    [
        {"range": 5},
        {"range": (1, 2, 3)},
        {"range": (1, "2")},
        {"range": (-1e308, 1e308)},
        {"range": (0.0, 5e-324)},
        {"bands": (0,)},
        {"window": (0, 0, 0, 1)},
    ],
)
def test_what_no_file_could_satisfy_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be|is empty"):
        PictureFile("a.png", **options)


def test_a_file_that_is_not_there_is_missing(path: Path) -> None:
    for value in (path, str(path), PictureFile(path), Raster(path), Argument(str(path))):
        with pytest.raises(MissingInput, match="there is no such file"):
            made(value)


@pytest.mark.parametrize("name", SAID)
def test_a_bad_file_is_told(name: str) -> None:
    if name.endswith((".png", ".jpg")):
        pillow()
    if name.endswith(".tif"):
        pytest.importorskip("rasterio", reason="GeoTIFFs need rasterio")
    with pytest.raises(InputError, match=SAID[name]) as told:
        made(CASES / name)
    assert "\n" not in str(told.value)


def test_the_cases_are_all_told() -> None:
    assert {path.name for path in CASES.iterdir()} == set(SAID)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("bands", [1, 3])
def test_files_give_what_their_arrays_give(path: Path, suffix: str, bands: int) -> None:
    image, file = noise(20, 25, bands), path.with_suffix(suffix)
    writers: dict[str, Callable[[], object]] = {
        ".png": lambda: pillow().fromarray(image.transpose(1, 2, 0).squeeze()).save(file),
        ".tif": lambda: write_tif(file, image),
        ".npy": lambda: np.save(file, image),
    }
    writers[suffix]()
    for value in (file, str(file), PictureFile(file), Raster(file), Argument(f"@{file}")):
        np.testing.assert_array_equal(seen(value), seen(image))


def test_bands_and_a_window_are_chosen(path: Path) -> None:
    image, file = noise(30, 40, 5), path.with_suffix(".npy")
    np.save(file, image)
    wanted = seen(image[[3, 1, 4], 6:26, 5:30])
    chosen = PictureFile(file, bands=(4, 2, 5), window=(5, 6, 25, 20))
    np.testing.assert_array_equal(seen(chosen), wanted)
    text = f"{file}?bands=4,2,5&window=5,6,25,20"
    np.testing.assert_array_equal(seen(Argument(text)), wanted)
    np.testing.assert_array_equal(seen(PictureFile(file, bands=(2,))), seen(image[1:2]))


def test_a_jpeg_is_turned_as_it_says(path: Path) -> None:
    image = noise(2 * SIZE, 2 * SIZE)
    picture = pillow().fromarray(image.transpose(1, 2, 0))
    exif = picture.getexif()
    exif[ORIENTATION] = 3  # upside down
    picture.save(path, exif=exif)
    np.testing.assert_array_equal(seen(path), seen(image[:, ::-1, ::-1]))


def test_transparent_pixels_keep_their_colours_and_are_not_valid(path: Path) -> None:
    image, alpha = noise(SIZE, SIZE), np.full((1, SIZE, SIZE), 9, np.uint8)
    alpha[:, : SIZE // 4] = 0
    pillow().fromarray(np.concatenate([image, alpha]).transpose(1, 2, 0)).save(path)
    np.testing.assert_array_equal(seen(path), image)
    assert made(path).valid == 0.75
    value = int(image[0, 4, 4])
    array = seen(Raster(path, nodata=value))
    np.testing.assert_array_equal(array, np.where(image == value, 0, image))
    left = 0.75 * (image[:, 2:] != value).mean()
    assert made(Raster(path, nodata=value)).valid == pytest.approx(left)


def test_nodata_is_black_and_not_valid(path: Path) -> None:
    image = np.full((3, SIZE, SIZE), 200, np.uint8)
    image[:, :2] = 255
    file = write_tif(path.with_suffix(".tif"), image, nodata=255)
    assert (seen(file)[:, :2] == 0).all()
    assert (seen(file)[:, 2:] == 200).all()
    assert made(file).valid == 0.75


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_a_range_says_what_is_black_and_white(path: Path, dtype: str) -> None:
    depth = np.linspace(-100, 4200, SIZE * SIZE).reshape(1, SIZE, SIZE)
    depth = np.maximum(depth, 0 if dtype.startswith("u") else depth).astype(dtype)
    file = path.with_suffix(".npy")
    np.save(file, depth)
    wanted = np.rint(np.clip((depth.astype(np.float64) - 500) * 255 / 3500, 0, 255))
    for value in (PictureFile(file, range=(500, 4000)), Argument(f"{file}?range=500,4000")):
        np.testing.assert_array_equal(seen(value), np.broadcast_to(wanted, (3, SIZE, SIZE)))
    turned = seen(PictureFile(file, range=(4000, 500)))
    np.testing.assert_allclose(turned, 255 - seen(PictureFile(file, range=(500, 4000))), atol=1)


def test_a_depth_png_of_16_bits_takes_a_range(path: Path) -> None:
    depth = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE)).astype(np.uint16)
    pillow().fromarray(depth).save(path)
    wanted = np.rint(depth / 65535 * 255)
    np.testing.assert_array_equal(seen(PictureFile(path, range=(0, 65535)))[2], wanted)


def test_what_is_no_number_is_black_and_not_valid(path: Path) -> None:
    depth = np.full((SIZE, SIZE), 2.0, np.float32)
    depth[0], depth[1, 0], depth[1, 1] = np.nan, np.inf, -np.inf
    np.save(path.with_suffix(".npy"), depth)
    file = PictureFile(path.with_suffix(".npy"), range=(1, 2))
    array = seen(file)[0]
    assert (array[0] == 0).all()
    assert array[1, :3].tolist() == [255, 0, 255]
    assert made(file).valid == 1 - 1 / SIZE


def test_a_range_that_most_samples_leave_is_warned_of(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.full((SIZE, SIZE), 900.0))
    with pytest.warns(EdgesparkWarning, match="most of its samples are beyond range="):
        made(PictureFile(path.with_suffix(".npy"), range=(0, 1)))


def test_a_range_takes_the_place_of_a_declared_scale() -> None:
    pytest.importorskip("rasterio", reason="GeoTIFFs need rasterio")
    assert seen(PictureFile(CASES / "scaled.tif", range=(0, 255))).max() > 200


def test_without_pillow_the_error_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    path.write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[media\]'"):
        made(path)
