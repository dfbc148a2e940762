"""PNG and JPEG, through Pillow: as they are meant to be seen, with what is transparent masked."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.arrays import grid_from_array
from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.grid import Grid, Raster
from edgespark.runtime.paths import checked_file
from edgespark.runtime.preprocessing import Imagery

FORMATS = ("PNG", "JPEG")  # of a JPEG with more pictures behind the first (drones), the first

# Pillow's mode, and whether a colour is declared transparent -> the mode that shows both in full.
MODES = {
    ("1", False): "L",
    ("1", True): "LA",
    ("L", False): "L",
    ("L", True): "LA",
    ("LA", False): "LA",
    ("RGB", False): "RGB",
    ("RGB", True): "RGBA",
    ("RGBA", False): "RGBA",
    ("P", False): "RGB",
    ("P", True): "RGBA",
    ("I;16", False): "I;16",
    ("I", False): "I;16",  # what Pillow 10 calls a grey PNG of 16 bits
}
NAMES = {"L": ["grey"], "I;16": ["grey"], "LA": ["grey"], "RGB": ["red", "green", "blue"]}
NAMES["RGBA"] = NAMES["RGB"]

BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, struct.error)
"""What Pillow raises for broken files, its odd metadata included."""


@contextmanager
def open_picture(raster: Raster, record: Imagery) -> Iterator[Grid]:
    """Read a PNG or JPEG: bands red, green, blue or grey, turned as its EXIF orientation says.

    Palettes become colours, an alpha of 0 is not valid. Raises InputError where the file is broken,
    too large to be an honest picture, or of another kind (CMYK, 16-bit colour), MissingExtra where
    Pillow is not installed.
    """
    path = checked_file(raster.path)
    samples, names = _read(path)
    yield grid_from_array(samples, raster, record, names)


def _read(path: Path) -> tuple[NDArray[Any], list[str]]:
    image, operations = _pillow("Image"), _pillow("ImageOps")
    bombs = image.DecompressionBombError, image.DecompressionBombWarning
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd metadata; not the pixels
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path, formats=FORMATS) as picture:
                mode = _mode(picture, path)
                upright = operations.exif_transpose(picture).convert(mode)
            return _samples(np.asarray(upright), mode), NAMES[mode]
    except InputError:
        raise
    except (*BROKEN, *bombs) as error:
        raise InputError(f"{path}: cannot be read as PNG or JPEG: {error}") from error


def _mode(picture: Any, path: Path) -> str:  # noqa: ANN401 Pillow is imported late
    mode = MODES.get((picture.mode, "transparency" in picture.info))
    if mode is None:
        raise InputError(f"{path}: is a {picture.mode} picture; expected RGB, grey or a palette")
    if mode != "I;16" and any(str(tile[3]).endswith(";16B") for tile in picture.tile):
        # Pillow would drop the lower eight bits of 16-bit colour without a word.
        raise InputError(f"{path}: has 16 bits a colour; expected 8: give it as GeoTIFF or .npy")
    return mode


def _samples(array: NDArray[Any], mode: str) -> NDArray[Any]:
    """Return Pillow's [rows, columns(, bands)] bands first, masked where alpha is 0."""
    samples = np.moveaxis(np.atleast_3d(array), -1, 0)
    if not mode.endswith("A"):
        return samples
    hidden = np.broadcast_to(samples[-1:] == 0, samples[:-1].shape)
    return np.ma.MaskedArray(samples[:-1], mask=hidden)


def _pillow(module: str) -> Any:  # noqa: ANN401 imported late
    try:
        return import_module(f"PIL.{module}")
    except ImportError as error:
        raise MissingExtra(
            f"PNG and JPEG are read with Pillow, which cannot be imported ({error}): "
            "pip install 'edgespark[media]'"
        ) from error
