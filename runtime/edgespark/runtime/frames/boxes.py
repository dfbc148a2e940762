"""Boxes of MP4 and MOV (ISO 14496-12), looked at before FFmpeg makes an index of their samples."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgespark.runtime.errors import InputError

INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
"""Boxes of boxes, on the way to the sizes of the samples."""
SIZES = b"stsz"
MOST_EACH = 64
"""Samples of a byte; those of sound may be single moments, of which a speech codec packs dozens."""
MOST_BOXES = 1 << 16
"""Real files have a few hundred, or two for each second where they are fragmented."""


def check_samples(path: Path) -> None:
    """Refuse a file that tells of far more samples than its bytes can hold.

    Samples of one size take no room in its header, and FFmpeg makes an entry of 24 bytes for each.
    InputError; what is broken otherwise is left to FFmpeg to tell.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for count in _counts(file, size):
            if count > MOST_EACH * size:
                raise InputError(f"{path}: tells of {count} samples in {size} bytes")


def _counts(file: BinaryIO, end: int) -> Iterator[int]:
    """Yield the number of samples of each track."""
    at = 0
    for _ in range(MOST_BOXES):
        if at >= end:
            return
        file.seek(at)
        head = file.read(20)
        if len(head) < 8:  # noqa: PLR2004 size and name
            return
        length, name = struct.unpack_from(">I4s", head)
        wide = length == 1 and len(head) >= 16  # noqa: PLR2004 the size in 64 bits behind them
        length = struct.unpack_from(">Q", head, 8)[0] if wide else length
        if name == SIZES and len(head) == 20:  # noqa: PLR2004 flags, one size, their number
            yield struct.unpack_from(">I", head, 16)[0]
        own = 16 if wide else 8
        at += own if name in INSIDE else length or end
        if length < own and length:
            return
