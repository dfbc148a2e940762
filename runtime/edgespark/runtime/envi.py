"""ENVI files: which two belong together, and what their header says beyond rasterio's own words."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as shortened

import numpy as np

from edgespark.runtime.errors import InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.paths import checked_file

SUFFIXES = ("", ".dat", ".img", ".bsq", ".bil", ".bip", ".raw", ".bin")
HEADERS = (".hdr", ".HDR")
MOST_DIGITS = 18
"""Of an offset in 64 bits; Python reads at most 4300."""


def data_file(given: str | Path) -> Path:
    """Return the file of samples that is meant by it, or by its header.

    The header of scene.dat is scene.hdr or scene.dat.hdr. Raises InputError where one of the two is
    missing, or where it cannot be told which file a header belongs to.
    """
    path = checked_file(given)
    if path.suffix.lower() != ".hdr":
        headers = [path.with_name(path.name + end) for end in HEADERS]
        headers += [path.with_suffix(end) for end in HEADERS]
        if not any(header.is_file() for header in headers):
            raise InputError(
                f"{path}: expected the data of an ENVI file, but there is no header "
                f"{headers[0].name} or {headers[2].name} beside it; other formats are told by "
                "their suffix"
            )
        return path
    stem = path.with_suffix("")
    files = [stem.with_name(stem.name + end) for end in SUFFIXES]
    found = [file for file in files if file.is_file()]
    if len(found) != 1:
        names = ", ".join(file.name for file in found or files)
        what = "several files could be its data" if found else "there is no data file beside it"
        raise InputError(f"{path}: {what}: {names}: give the path of the data")
    return checked_file(found[0])


def check_size(path: Path, header: Mapping[str, str], shape: Sequence[int], dtype: str) -> None:
    """Refuse a data file that is shorter than its header says; GDAL would read zeros there."""
    if header.get("file_compression", "0").strip() not in ("", "0"):
        return
    text = header.get("header_offset", "0").strip()
    start = text.lstrip("0") or text[-1:]
    if not start.isdecimal() or len(start) > MOST_DIGITS:
        raise InputError(
            f"{path}: its header says header offset = {shortened(text)}, which is none"
        )
    needed = int(start) + math.prod(shape) * np.dtype(dtype).itemsize
    size = path.stat().st_size
    if size < needed:
        raise InputError(
            f"{path}: has {size} bytes; its header tells of {needed}: it is cut off, or the header "
            "is another file's"
        )


def bad_bands(header: Mapping[str, str]) -> set[int]:
    """Return the numbers, from 1, of the bands that the header's list marks as bad."""
    marks = header.get("bbl", "").strip("{} ").split(",")
    return {i for i, mark in enumerate(marks, 1) if mark.strip() in ("0", "0.0")}


def declared_scale(raster: Raster, header: Mapping[str, str]) -> float:
    """Return what the header's reflectance scale factor makes of a sample; 1 without one."""
    text = header.get("reflectance_scale_factor", "1")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0 or not math.isfinite(factor):
        raise InputError(
            f"{raster.path}: its header says reflectance scale factor = {shortened(text)}, "
            "which is none"
        )
    return 1 / factor


def told_bad(raster: Raster, header: Mapping[str, str], bands: Sequence[int]) -> str | None:
    """Return the words for chosen bands that are marked as bad; None where none is."""
    bad = [str(band) for band in bands if band in bad_bands(header)]
    return f"{raster.path}: its header marks bands {', '.join(bad)} as bad" if bad else None
