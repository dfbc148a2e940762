"""Inputs of every kind, made into the arrays that a route starts from."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument, parse_argument
from edgespark.runtime.arrays import grid_from_array, open_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Grid, Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.manifest import Route
from edgespark.runtime.paths import checked_file
from edgespark.runtime.pictures import open_picture
from edgespark.runtime.preprocessing import Imagery, Preprocessing, Text
from edgespark.runtime.rasters import open_raster
from edgespark.runtime.tokens import LONGEST_TOKEN

__all__ = ["Argument", "Encode", "Prepared", "Raster", "parse_argument", "prepare"]

Encode = Callable[[str], list[int]]
Open = Callable[[Raster, Imagery], AbstractContextManager[Grid]]
Read = Callable[[Any, object, Encode], "Prepared"]  # from a preprocessing record and a value

OPENERS: dict[str, Open] = {
    ".tif": open_raster,
    ".tiff": open_raster,
    ".vrt": open_raster,
    ".jp2": open_raster,
    ".png": open_picture,
    ".jpg": open_picture,
    ".jpeg": open_picture,
    ".npy": open_npy,
}
LONGEST_TEXT = 1 << 24
"""Bytes; no context holds so much, and a file is not read whole to find out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What a route starts from: its arrays by name, and the share of valid samples, 0…1."""

    arrays: dict[str, NDArray[Any]]
    valid: float


def prepare(route: Route, value: object, encode: Encode) -> Prepared:
    """Return the arrays that the route's preprocessing gives for a value.

    Imagery takes an array [bands, rows, columns] ([rows, columns] for one band; what is masked in a
    numpy.ma.MaskedArray is not valid), the path of a GeoTIFF, VRT, JPEG 2000, PNG, JPEG or .npy
    file, or a Raster; it gives `pixels`, float32 [1, bands, rows, columns]. Text takes a str, or
    the Path of a UTF-8 file; it gives `ids`, int64 [1, tokens]. Both take an Argument; what is
    Prepared already is given back. Raises InputError for what cannot be one, MissingExtra where a
    library is not installed.
    """
    if isinstance(value, Prepared):
        return value
    record = route.preprocessing
    try:
        return READERS[type(record)](record, value, encode)
    except InputError as error:
        raise type(error)(f"{route.modality}: {error}") from error


def _imagery(record: Imagery, value: object, _: Encode) -> Prepared:
    with _opened(value, record) as grid:
        array, valid = pixels(grid, record)
    return Prepared(arrays={"pixels": array}, valid=valid)


@contextmanager
def _opened(value: object, record: Imagery) -> Iterator[Grid]:
    if isinstance(value, Argument):
        value = value.raster()
    if isinstance(value, str | Path):
        value = Raster(value)
    if isinstance(value, Raster):
        with _opener(value)(value, record) as grid:
            yield grid
    else:
        array = _array(value)
        yield grid_from_array(array, Raster(f"array {array.shape}"), record)


def _opener(raster: Raster) -> Open:
    suffix = Path(raster.path).suffix.lower()
    if suffix not in OPENERS:
        checked_file(raster.path)
        raise InputError(
            f"{raster.path}: cannot tell what it is by {suffix or 'its name'!r}; "
            f"there are: {', '.join(OPENERS)}"
        )
    return OPENERS[suffix]


def _array(value: object) -> NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray):
        return value
    if not hasattr(value, "__array__"):
        raise InputError(f"expected an array, a path or a Raster, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on another device, for one
        raise InputError(f"a {type(value).__name__} gives no numpy array: {error}") from error


def _text(record: Text, value: object, encode: Encode) -> Prepared:
    text = _words(value.words() if isinstance(value, Argument) else value)
    if not text.strip():
        raise InputError("the text is empty")
    if len(text) > record.max_tokens * LONGEST_TOKEN:
        raise InputError(f"the text has {len(text)} characters; {_most(record)}")
    ids = encode(text)
    if not ids:
        raise InputError("the text gives no token")
    if len(ids) > record.max_tokens:
        raise InputError(f"the text has {len(ids)} tokens; {_most(record)}")
    return Prepared(arrays={"ids": np.array([ids], np.int64)}, valid=1.0)


def _most(record: Text) -> str:
    return f"the model takes {record.max_tokens} tokens: shorten the text"


def _words(value: object) -> str:
    if not isinstance(value, str | Path):
        raise InputError(f"expected a text or the Path of a file, got {type(value).__name__}")
    try:
        if isinstance(value, Path):
            return _file(value).decode("utf-8-sig").strip()
        value.encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise InputError(f"{str(value)[:60]!r}: is not UTF-8: {error.reason}") from error
    return value


def _file(path: Path) -> bytes:
    checked = checked_file(path)
    try:
        with checked.open("rb") as file:
            data = file.read(LONGEST_TEXT + 1)
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > LONGEST_TEXT:
        raise InputError(f"{path}: is longer than {LONGEST_TEXT} bytes; a text was expected")
    return data


READERS: dict[type[Preprocessing], Read] = {Imagery: _imagery, Text: _text}
