"""Values of every kind, right and wrong, through `prepare`."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.inputs import Argument, Prepared, Raster, parse_argument, prepare
from edgespark.runtime.preprocessing import Text
from tests.runtime.scenes import SIZE, imagery, ramp, route, write_tif

RECORD = imagery(nodata=0.0)


def encode(text: str) -> list[int]:
    """Give one token per letter; none for a bell."""
    return [ord(letter) for letter in text if letter != "\a"]


def seen(value: object) -> Prepared:
    return prepare(route(RECORD), value, encode)


def read(value: object, most: int = 20) -> Prepared:
    return prepare(route(Text(max_tokens=most)), value, encode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.npy"


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:  # noqa: ANN401 numpy's protocol
        return ramp()


class FarTensor:
    """An array that numpy cannot reach."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:  # noqa: ANN401 numpy's protocol
        raise TypeError("it is on another device")


def test_every_way_to_give_the_same_samples_gives_the_same_pixels(path: Path) -> None:
    pytest.importorskip("rasterio")
    image = pytest.importorskip("PIL.Image")
    np.save(path, ramp())
    tif, png = write_tif(path.with_suffix(".TIF"), ramp()), path.with_suffix(".png")
    image.fromarray(ramp().transpose(1, 2, 0)).save(png)
    masked, argument = np.ma.MaskedArray(ramp()), parse_argument(f"rgb={tif}")[1]
    values = [ramp(), masked, Tensor(), path, str(path), Raster(path), tif, png, argument]
    for value in values:
        made = seen(value)
        np.testing.assert_array_equal(made.arrays["pixels"], ramp()[None])
        assert made.valid == 1.0
        assert list(made.arrays) == ["pixels"]


def npy(array: Any) -> bytes:  # noqa: ANN401 whatever numpy can save
    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(192)


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is no .npy file"),
    "text": (b"hello, world", "is no .npy file"),
    "pickle": (npy(np.array([{}], object)), "is no .npy file"),
    "truncated": (npy(ramp())[:-1], "is no .npy file"),
    "truncated header": (npy(ramp())[:30], "is no .npy file"),
    "zip": (b"PK\x03\x04" + bytes(60), "is no .npy file"),
    "claims more than it has": (header("(3, 100000, 100000)"), "is no .npy file"),
    "claims more than there is": (header("(3, 9000000000, 9000000000)"), "is no .npy file"),
    "overflows": (header("(3, 4294967296, 4294967296, 4294967296)"), "is no .npy file"),
    "negative": (header("(3, -8, 8)"), "is no .npy file"),
    "unclosed": (header("(3, 8, 8").replace(b"}", b" "), "is no .npy file"),
    "endless": (header("9" * 9000), "is no .npy file"),
    "nested": (header("(" * 60), "is no .npy file"),
    "no shape": (header("'x'"), "is no .npy file"),
    "empty": (header("(3, 0, 8)"), "is no .npy file|is empty"),
    "rank": (npy(ramp()[0, 0]), r"has shape \(8,\)"),
    "two dimensions": (npy(ramp()[0]), r"has shape \(8, 8\); expected \[bands, rows, columns\]"),
    "type": (npy(ramp().astype(np.int64)), "holds int64 samples; the model takes uint8"),
    "bool": (npy(ramp().astype(bool)), "holds bool samples"),
    "complex": (npy(ramp().astype(complex)), "holds complex128 samples"),
    "words": (npy(ramp().astype(str)), "holds str.* samples"),
    "records": (npy(np.zeros((3, 8, 8), "u1,u1")), "holds void16 samples"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_array_file_is_refused_in_one_line(path: Path, name: str) -> None:
    content, said = BAD_FILES[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        seen(path)
    assert str(caught.value).startswith("rgb: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200 + len(str(path))


BAD_VALUES: dict[str, tuple[Callable[[], object], str]] = {
    "number": (lambda: 3, "expected an array, a path or a Raster, got int"),
    "nothing": (lambda: None, "got NoneType"),
    "list": (lambda: [[1]], "got list"),
    "bytes": (lambda: b"scene.tif", "got bytes"),
    "elsewhere": (FarTensor, "a FarTensor gives no numpy array: it is on another device"),
    "scalar": (lambda: np.float32(3), r"has shape \(\)"),
    "batch": (lambda: ramp()[None], r"has shape \(1, 3, 8, 8\)"),
    "columns last": (lambda: ramp().T, r"found 8 bands .* expected 3 \(red, green, blue\)"),
    "no columns": (lambda: ramp()[:, :, :0], "is empty: 0 columns, 8 rows"),
    "no rows": (lambda: ramp()[:, :0], "is empty: 8 columns, 0 rows"),
    "no bands": (lambda: ramp()[:0], "found 0 bands"),
    "objects": (lambda: ramp().astype(object), "holds object samples"),
    "all masked": (lambda: np.ma.MaskedArray(ramp(), mask=True), r"only 0\.00%"),
    "all nodata": (lambda: ramp() * 0, r"only 0\.00% .* needs 50\.00%"),
    "nan": (lambda: ramp(dtype="float32") * np.nan, "'red' holds nan at column 0, row 0"),
    "no name": (lambda: "", "expected the path of a raster, got ''"),
    "no suffix": (lambda: os.devnull, "is a device or a pipe"),
    "device": (lambda: Raster("/dev/zero"), "is a device or a pipe"),
    "endless name": (lambda: "x" * 5000 + ".tif", "is no path that can be read"),
    "zero in name": (lambda: "a\0b.tif", "is no path that can be read"),
    "no bands asked": (lambda: Raster("a.tif", bands=()), "must be one or more numbers"),
    "band zero": (lambda: Raster("a.tif", bands=(0, 1, 2)), "counted from 1"),
    "half a band": (lambda: Raster("a.tif", bands=(1.5, 1, 2)), "must be whole numbers"),  # type: ignore[arg-type] # on purpose
    "empty window": (lambda: Raster("a.tif", window=(0, 0, 0, 8)), "is empty"),
    "negative window": (lambda: Raster("a.tif", window=(0, 0, -1, 8)), "none below 0"),
    "short window": (lambda: Raster("a.tif", window=(0, 0, 8)), "column, row, width"),  # type: ignore[arg-type] # on purpose
    "nodata beyond any float": (lambda: Raster("a.tif", nodata=10**400), "got 1000.*\\.\\.\\.0"),
    "word for nodata": (lambda: Raster("a.tif", nodata="x"), "nodata must be a number"),  # type: ignore[arg-type] # on purpose
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_is_refused_in_one_line(name: str) -> None:
    make, said = BAD_VALUES[name]
    with pytest.raises(InputError, match=said) as caught:
        seen(make())
    assert "\n" not in str(caught.value)


SUFFIXES = [".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".npy", ".xyz"]
NEEDS = dict.fromkeys(SUFFIXES[:4], "rasterio") | dict.fromkeys(SUFFIXES[4:7], "PIL")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_the_wrong_content_is_refused_by_every_reader(path: Path, suffix: str) -> None:
    pytest.importorskip(NEEDS.get(suffix, "numpy"))
    path = path.with_suffix(suffix)
    path.write_bytes(b"this is no raster at all")
    with pytest.raises(InputError) as caught:
        seen(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_missing_is_told_before_any_library_is_needed(
    path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingInput, match="there is no such file"):
        seen(path.with_suffix(suffix))
    path.with_suffix(suffix).mkdir()
    with pytest.raises(InputError, match="is a folder"):
        seen(path.with_suffix(suffix))


def test_a_file_inside_a_file_is_missing(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(MissingInput):
        seen(path / "scene.npy")


def test_a_file_that_may_not_be_read_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(path, ramp())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read all
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        seen(path)


def test_text_becomes_ids() -> None:
    made = read("hi you ")
    np.testing.assert_array_equal(made.arrays["ids"], [[ord(letter) for letter in "hi you "]])
    assert made.arrays["ids"].dtype == np.int64
    assert made.valid == 1.0


@pytest.mark.parametrize("content", [b"hi", b"\xef\xbb\xbfhi\r\n", b"\n hi \n\n"])
def test_a_text_file_is_its_text_without_what_an_editor_puts_around_it(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    for value in (path, Argument(f"@{path}")):
        np.testing.assert_array_equal(read(value).arrays["ids"], [[104, 105]])


def test_exactly_as_many_tokens_as_allowed_are_taken() -> None:
    assert read("a" * 20).arrays["ids"].shape == (1, 20)


BAD_TEXTS: dict[str, tuple[object, str]] = {
    "empty": ("", "the text is empty"),
    "blank": (" \n", "the text is empty"),
    "long": ("a" * 21, "has 21 tokens; the model takes 20"),
    "no token": ("\a", "gives no token"),
    "half a letter": ("\ud800", "is not UTF-8"),
    "number": (3, "expected a text or the Path of a file, got int"),
    "array": (ramp(), "got ndarray"),
    "raster": (Raster("a.tif"), "got Raster"),
    "no path": (Argument("@"), "expected the path of a text file"),
    "missing": (Argument("@none.txt"), "none.txt: there is no such file"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_text_is_refused_in_one_line(name: str) -> None:
    value, said = BAD_TEXTS[name]
    with pytest.raises(InputError, match=said) as caught:
        read(value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8"):
        read(path)


def test_a_text_far_beyond_the_model_is_refused_before_it_is_tokenised() -> None:
    with pytest.raises(InputError, match="has 1000000 characters; the model takes 4 tokens"):
        prepare(route(Text(max_tokens=4)), "a" * 10**6, lambda _: pytest.fail("tokenised"))


def test_a_file_that_a_broken_disk_does_not_give_is_refused() -> None:
    memory = Path("/proc/self/mem")  # a regular file; its first page gives EIO
    if not memory.is_file():
        pytest.skip("no /proc on this system")
    with pytest.raises(InputError, match="cannot be read: Input/output error"):
        prepare(route(Text(max_tokens=4)), memory, lambda _: [1])


def test_a_subclass_of_array_counts_as_the_array_that_it_is() -> None:
    class Odd(np.ndarray):
        def __getitem__(self, _: object) -> Any:  # noqa: ANN401 numpy's own says Any
            raise RuntimeError("its own ideas of indexing")

    made = seen(ramp().view(Odd)).arrays["pixels"]
    np.testing.assert_array_equal(made, seen(ramp()).arrays["pixels"])


def test_a_file_that_is_too_long_to_be_a_text_is_not_read_whole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="is longer than"):
        read(path)


def test_numpys_own_numbers_make_bands_and_windows(path: Path) -> None:
    np.save(path, ramp(4, 2 * SIZE))
    bands: Any = tuple(np.array([3, 2, 1]))
    window: Any = tuple(np.array([0, 0, SIZE, SIZE]))
    made = seen(Raster(path, bands=bands, window=window, nodata=np.float32(7)))  # type: ignore[arg-type] # a numpy scalar
    assert made.arrays["pixels"].shape == (1, 3, SIZE, SIZE)
