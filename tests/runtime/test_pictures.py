"""PNG and JPEG: what each kind becomes, and what is refused."""

import contextlib
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.grid import Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.pictures import open_picture
from edgespark.runtime.preprocessing import Imagery
from tests.runtime.scenes import SIZE, imagery, ramp

Image: Any = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
ORIENTATION = 0x0112
COLOUR = ramp().transpose(1, 2, 0)
GREY = ramp(1)[0]


def made(raster: Raster | Path, record: Imagery) -> tuple[NDArray[np.float32], float]:
    raster = raster if isinstance(raster, Raster) else Raster(raster)
    with open_picture(raster, record) as grid:
        return pixels(grid, record)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def png(kind: tuple[int, int], rows: list[bytes], width: int, **odd: bytes) -> bytes:
    """Write a PNG by hand (RFC 2083), for what Pillow does not write; kind: depth, colour."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, len(rows), *kind, 0, 0, 0),
        **{name.encode(): data for name, data in odd.items()},
        b"IDAT": zlib.compress(b"".join(b"\0" + row for row in rows)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def test_a_colour_png_has_red_green_and_blue(path: Path) -> None:
    Image.fromarray(COLOUR).save(path)
    array, valid = made(path, imagery())
    np.testing.assert_array_equal(array[0], ramp())
    assert valid == 1.0


def test_bands_windows_and_nodata_hold_for_pictures_too(path: Path) -> None:
    large = ramp(3, 2 * SIZE)
    Image.fromarray(large.transpose(1, 2, 0)).save(path)
    raster = Raster(path, bands=(3, 2, 1), window=(5, 6, SIZE, SIZE), nodata=int(large[0, 6, 5]))
    array, valid = made(raster, imagery())
    part = large[::-1, 6 : 6 + SIZE, 5 : 5 + SIZE].astype(float)
    np.testing.assert_array_equal(array[0], np.where(part == large[0, 6, 5], 0, part))
    assert valid < 1.0


def test_a_jpeg_is_read(path: Path) -> None:
    jpeg = path.with_suffix(".jpg")
    Image.new("RGB", (20, 30), (200, 100, 50)).save(jpeg, quality=95)
    array, _ = made(Raster(jpeg, window=(0, 0, 20, 20)), imagery())
    np.testing.assert_allclose(array.mean((0, 2, 3)), [200, 100, 50], atol=2)


def test_the_first_picture_of_several_in_one_jpeg_is_read(path: Path) -> None:
    jpeg = path.with_suffix(".jpg")
    first, second = (Image.new("L", (SIZE, SIZE), value) for value in (60, 200))
    first.save(jpeg, format="MPO", save_all=True, append_images=[second])
    assert made(jpeg, imagery(1))[0].mean() == pytest.approx(60, abs=1)


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_grey_pictures_have_one_band(path: Path, mode: str) -> None:
    image = Image.fromarray(GREY.astype(np.uint16) * 200 if mode == "I;16" else GREY)
    image.convert(mode).save(path)
    wanted = {"L": GREY, "1": np.asarray(image.convert("1")) * 255.0, "I;16": GREY * 200.0}[mode]
    np.testing.assert_array_equal(made(path, imagery(1))[0][0, 0], wanted)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_wholly_transparent_is_masked(path: Path, mode: str) -> None:
    alpha = np.full((SIZE, SIZE), 1, np.uint8)
    alpha[:2] = 0
    colour = Image.fromarray(COLOUR if mode == "RGBA" else GREY)
    colour.putalpha(Image.fromarray(alpha))
    assert colour.mode == mode
    colour.save(path)
    array, valid = made(path, imagery(3 if mode == "RGBA" else 1))
    assert not array[0, :, :2].any()
    assert array[0, :, 2:].all()
    assert valid == 0.75


def test_a_palette_becomes_colours(path: Path) -> None:
    colours = np.repeat(np.array([[10, 20, 30], [250, 5, 9]], np.uint8), 4, 0)[None].repeat(8, 0)
    Image.fromarray(colours).quantize(2).save(path)
    array, _ = made(path, imagery())
    np.testing.assert_array_equal(array[0].transpose(1, 2, 0), colours)


def test_a_transparent_palette_entry_is_masked(path: Path) -> None:
    picture = Image.new("P", (SIZE, SIZE), 1)
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.paste(0, (0, 0, SIZE, 2))
    picture.save(path, transparency=0)
    array, valid = made(path, imagery())
    assert valid == 0.75
    np.testing.assert_array_equal(array[0, :, 7, 7], [9, 8, 7])


def test_a_transparent_colour_is_masked(path: Path) -> None:
    Image.fromarray(COLOUR).save(path, transparency=tuple(int(each) for each in COLOUR[0, 0]))
    array, valid = made(path, imagery())
    assert valid == 63 / 64
    assert not array[0, :, 0, 0].any()


def test_pictures_are_turned_upright(path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned: show it a quarter turn clockwise
    Image.fromarray(COLOUR).save(path, exif=exif)
    array, _ = made(path, imagery())
    np.testing.assert_array_equal(array[0], np.rot90(ramp(), -1, (1, 2)))


def test_sixteen_bit_colour_is_refused_before_bits_are_lost(path: Path) -> None:
    path.write_bytes(png((16, 2), [bytes(6 * SIZE)] * SIZE, SIZE))
    with pytest.raises(InputError, match="16 bits a colour"):
        made(path, imagery())


def test_cmyk_is_refused(path: Path) -> None:
    jpeg = path.with_suffix(".jpg")
    Image.new("CMYK", (SIZE, SIZE)).save(jpeg)
    with pytest.raises(InputError, match="CMYK picture; expected RGB, grey or a palette"):
        made(jpeg, imagery())


def test_a_grey_picture_for_a_colour_model_is_told_by_its_bands(path: Path) -> None:
    Image.fromarray(GREY).save(path)
    with pytest.raises(
        InputError, match=r"found 1 bands \(1 grey\), expected 3 \(red, green, blue"
    ):
        made(path, imagery())


def test_overviews_of_a_picture_are_refused(path: Path) -> None:
    Image.fromarray(COLOUR).save(path)
    with pytest.raises(InputError, match="only GeoTIFFs and the like have overviews"):
        made(Raster(path, overviews=True), imagery())


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_refused(path: Path, side: int) -> None:
    path.write_bytes(png((1, 0), [bytes(side // 8)] * side, side))
    with pytest.raises(InputError, match="decompression bomb"):
        made(path, imagery(1))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.97])
def test_a_picture_that_was_cut_off_is_refused(
    path: Path, suffix: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = path.with_suffix(suffix)
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match="cannot be read as PNG or JPEG"):
        made(path, imagery())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["gAMA", "pHYs", "cHRM", "iCCP", "acTL", "tRNS", "sRGB", "iTXt"])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_broken_piece_of_metadata_is_no_traceback(path: Path, name: str, size: int) -> None:
    """Pillow gives IndexError and struct.error for some."""
    path.write_bytes(png((8, 2), [bytes(3 * SIZE)] * SIZE, SIZE, **{name: bytes(size)}))
    with contextlib.suppress(InputError):  # some is passed over, and the picture is read
        made(path, imagery())


def test_what_a_broken_jpeg_turns_into_is_never_a_key_error(path: Path) -> None:
    """A marker of several pictures in a JPEG once led to a plugin that was not loaded."""
    Image.fromarray(COLOUR).save(path)
    path.write_bytes(b"\x8aPNG" + path.read_bytes()[4:])
    with pytest.raises(InputError, match="cannot identify image file"):
        made(path, imagery())


def test_without_pillow_the_command_that_installs_it_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(COLOUR).save(path)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[media\]'"):
        made(path, imagery())
