"""Inputs of every kind, made into the arrays that a route starts from."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgespark.runtime.arguments import Argument, parse_argument
from edgespark.runtime.arrays import array_from_value, grid_from_array, open_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Grid, Raster
from edgespark.runtime.imagery import pixels
from edgespark.runtime.manifest import Route
from edgespark.runtime.paths import by_suffix, checked_file
from edgespark.runtime.pictures import open_picture
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import (
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Text,
    Tracks,
)
from edgespark.runtime.rasters import open_envi, open_raster
from edgespark.runtime.sensory import (
    Clips,
    ColouredPoints,
    Fbank,
    Motion,
    Picture,
    PicturePair,
    Voxels,
)
from edgespark.runtime.starts import check_prepared
from edgespark.runtime.tokens import LONGEST_TOKEN

__all__ = ["Argument", "Encode", "Prepared", "Raster", "parse_argument", "prepare"]

Open = Callable[[Raster, Imagery], AbstractContextManager[Grid]]
Read = Callable[[Any, object, Encode], Prepared]  # from a preprocessing record and a value

OPENERS: dict[str, Open] = {
    ".tif": open_raster,
    ".tiff": open_raster,
    ".vrt": open_raster,
    ".jp2": open_raster,
    ".png": open_picture,
    ".jpg": open_picture,
    ".jpeg": open_picture,
    ".npy": open_npy,
    # ENVI: a header beside the data, whose name may have any of these suffixes, or none
    **dict.fromkeys(
        (".hdr", ".dat", ".img", ".bsq", ".bil", ".bip", ".raw", ".bin", ""), open_envi
    ),
}
LONGEST_TEXT = 1 << 24
"""Bytes; no context holds so much, and a file is not read whole to find out."""


def prepare(route: Route, value: object, encode: Encode) -> Prepared:
    """Return the arrays that the route's preprocessing gives for a value.

    A value is an array, the path of a file, a record that says which part of a file is meant (such
    as Raster), or an Argument; text is a str, or the Path of a UTF-8 file. What each kind of
    preprocessing takes is told where it is read, what it gives in its record; what is Prepared
    already is given back. Raises InputError for what cannot be one, MissingExtra where a library is
    not installed.
    """
    record = route.preprocessing
    try:
        if isinstance(value, Prepared):
            check_prepared(record, value)
            return value
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
        with by_suffix(value.path, OPENERS)(value, record) as grid:
            yield grid
    else:
        array = array_from_value(value, "an array, a path or a Raster")
        yield grid_from_array(array, Raster(f"array {array.shape}"), record)


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


def _later(package: str, name: str) -> Read:
    """Import a reader when it is first used: most programs need few of them."""

    def read(record: Any, value: object, encode: Encode) -> Prepared:  # noqa: ANN401 as Read
        module = import_module(f"edgespark.runtime.{package}.read")
        made: Prepared = getattr(module, name)(record, value, encode)
        return made

    return read


READERS: dict[type[Preprocessing], Read] = {
    Imagery: _imagery,
    Frames: _later("frames", "read_frames"),
    Points: _later("points", "read_points"),
    Table: _later("tables", "read_table"),
    Tracks: _later("tracks", "read_tracks"),
    Series: _later("series", "read_series"),
    Text: _text,
    Picture: _later("views", "read_picture"),
    PicturePair: _later("views", "read_pair"),
    Clips: _later("views", "read_clips"),
    Fbank: _later("sound", "read_fbank"),
    Motion: _later("signals", "read_motion"),
    Voxels: _later("signals", "read_voxels"),
    ColouredPoints: _later("points", "read_coloured_points"),
}
