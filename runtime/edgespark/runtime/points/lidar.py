"""LAS and LAZ (ASPRS LAS 1.0 to 1.4), through laspy and lazrs, some points at a time."""

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.points.colours import BYTE, COLOURED, POSITION, WORD
from edgespark.runtime.points.thinned import MOST_POINTS, Doubles

NOISE = (7, 18)
"""Classes of low and high noise: birds and echoes, which farthest-point sampling would pick."""
HEADER, RECORD = 227, 54
"""Bytes of the shortest file header, and of the header of each variable-length record."""
MOST_RECORDS, MOST_BEFORE = 1 << 12, 64 << 20
"""Variable-length records, and bytes before the points: laspy makes and holds them all. Real files
have a few dozen, of a few kilobytes."""
AT_A_TIME = 16 << 20
"""Bytes of points that are unpacked at a time; a point may have up to 65535."""
ITEMS = 32
"""Where the number of items stands in LASzip's record; type, size and version of each follow."""
AT_THE_END = -1
"""What stands for the place of the chunk table where the file's last 8 bytes tell it."""

BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
)
"""What laspy, and lazrs under it, raise for broken files, beside their own errors."""
PANIC = "PanicException"
"""What becomes of a panic in Rust; a BaseException that cannot be imported."""


def lidar_pieces(path: Path, *, coloured: bool = False) -> Iterator[Doubles]:
    """Yield a file's points, float64 [at most 65536, 3], in the units of its coordinate system.

    With `coloured`, red, green and blue follow as they are stored: [at most 65536, 6].
    Points marked withheld (deleted) and points of the noise classes 7 and 18 are left out. Raises
    InputError where the file is broken or ends early, MissingExtra where a library is missing.
    """
    laspy = _laspy()
    _check_header(path)
    with _told(laspy):
        # The other fields of a compressed point (format 6 and up) need not be unpacked.
        fields = laspy.DecompressionSelection.base().decompress_z()
        fields = fields.decompress_classification().decompress_flags()
        fields = fields.decompress_rgb() if coloured else fields
        with laspy.open(
            path,
            read_evlrs=False,
            decompression_selection=fields,
            laz_backend=laspy.LazBackend.Lazrs,
        ) as reader:
            _check_points(reader.header, path)
            names = _columns(reader.header, coloured=coloured)
            size = max(1, min(MOST_POINTS, AT_A_TIME // reader.header.point_format.size))
            for chunk in reader.chunk_iterator(size):
                yield _valid(chunk, names)


def lidar_full(path: Path, points: Doubles) -> float:
    """Return what full colour is among the points [some, 6] of a file: 65535, as LAS has it.

    Many files hold 8-bit colours all the same: where there are some, and none is greater than 255,
    it is 255, and a warning tells so.
    """
    greatest = points[:, len(POSITION) :].max(initial=0)
    if not 0 < greatest <= BYTE:
        return WORD
    warnings.warn(
        f"{path}: its colours reach {greatest:g} of the 65535 of LAS: they are taken for 8-bit "
        "ones; colours=255 says that they are, colours=65535 that they are not",
        EdgesparkWarning,
        stacklevel=2,
    )
    return BYTE


def _columns(header: Any, *, coloured: bool) -> Sequence[str]:  # noqa: ANN401 laspy is imported late
    if not coloured:
        return POSITION
    form = header.point_format
    if not {*COLOURED[len(POSITION) :]} <= {*form.dimension_names}:
        raise InputError(
            f"has points of format {form.id}, which have no colours; the model takes colours, too: "
            "expected format 2, 3, 5, 7, 8 or 10"
        )
    return COLOURED


def _valid(chunk: Any, names: Sequence[str]) -> Doubles:  # noqa: ANN401 laspy is imported late
    noise = np.isin(np.asarray(chunk.classification), NOISE)
    good = ~(noise | np.asarray(chunk.withheld).astype(np.bool_))
    with np.errstate(all="ignore"):  # of a broken scale or offset; what it gives is looked at
        return np.column_stack([np.asarray(chunk[axis], np.float64)[good] for axis in names])


def _check_header(path: Path) -> None:
    """Refuse points that begin beyond the file, and too much before them; laspy would read all."""
    with path.open("rb") as file:
        head = file.read(HEADER)
    if len(head) < HEADER or not head.startswith(b"LASF"):
        return  # laspy says what is wrong
    length, start, records = struct.unpack_from("<HII", head, 94)
    size = path.stat().st_size
    if length + records * RECORD > start or records > MOST_RECORDS:
        raise InputError(
            f"cannot be read as LAS or LAZ: its header tells of {records} records in the "
            f"{start} bytes before the points"
        )
    if start > size:
        raise InputError(f"ends early: its points begin at byte {start}, and it has {size} bytes")
    if start - length > MOST_BEFORE:
        raise InputError(
            f"cannot be read as LAS or LAZ: {start} bytes lie before its points; at most "
            f"{MOST_BEFORE} are read"
        )


def _check_points(header: Any, path: Path) -> None:  # noqa: ANN401 laspy is imported late
    size, start = path.stat().st_size, header.offset_to_point_data
    expected = header.point_count * header.point_format.size
    if not header.point_count:
        raise InputError("holds no points")
    if start >= size or (not header.are_points_compressed and size - start < expected):
        raise InputError(
            f"ends early: its header tells of {header.point_count} points from byte {start} on, "
            f"and it has {size} bytes"
        )
    if header.are_points_compressed:
        _check_items(header)
        _check_chunks(start, size, path)


def _check_items(header: Any) -> None:  # noqa: ANN401 laspy is imported late
    """Refuse compressed items that make no point of the header's size; lazrs would panic."""
    record = header.vlrs.get("LasZipVlr")[0].record_data
    count = struct.unpack_from("<H", record, ITEMS)[0]
    items = struct.iter_unpack("<HHH", record[ITEMS + 2 : ITEMS + 2 + 6 * count])
    if sum(size for _, size, _ in items) != header.point_format.size:
        raise InputError("cannot be read as LAZ: its items and its points differ in size")


def _check_chunks(start: int, size: int, path: Path) -> None:
    """Refuse a table of more chunks than there are bytes; lazrs would end the process at it."""
    with path.open("rb") as file:
        file.seek(start)
        table = _number("<q", file)
        if table == AT_THE_END:
            file.seek(size - 8)
            table = _number("<q", file)
        if not start < table < size:
            raise InputError("ends early: its table of compressed chunks lies outside")
        file.seek(table + 4)  # after its version
        if _number("<I", file) > table - start:
            raise InputError("cannot be read as LAZ: its table of compressed chunks is broken")


def _number(form: str, file: BinaryIO) -> int:
    """Read one little-endian number; struct.error at the file's end."""
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


@contextmanager
def _told(laspy: Any) -> Iterator[None]:  # noqa: ANN401 laspy is imported late
    try:
        yield
    except (InputError, MissingExtra):
        raise
    except BaseException as error:
        broken = isinstance(error, (laspy.errors.LaspyException, *BROKEN))
        if not broken and type(error).__name__ != PANIC:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"cannot be read as LAS or LAZ: {reason}") from error


def _laspy() -> Any:  # noqa: ANN401 imported late
    try:
        import_module("lazrs")
        return import_module("laspy")
    except ImportError as error:
        raise MissingExtra(
            "LAS and LAZ are read with laspy and lazrs, which cannot be imported "
            f"({error}): pip install 'edgespark[geo]'"
        ) from error
