"""Protocol buffers' wire format, as far as reading needs it.

https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each a number, a
wire type and a value.
"""

from collections.abc import Iterator
from typing import TypeAlias

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
SIZES = {FIXED64: 8, FIXED32: 4}
LONGEST = 10  # bytes of a number

Value: TypeAlias = int | bytes


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield the fields of a message in their order: number and value.

    A varint is an int, all else is bytes. ValueError where the message is cut off, or none.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == SIZED:
            size, at = _varint(data, at)
        elif kind in SIZES:
            size = SIZES[kind]
        else:
            raise ValueError(f"byte {at}: wire type {kind}")
        if at + size > len(data):
            raise ValueError(f"cut off at byte {len(data)}")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at a byte, seven bits to the byte, and where it ends."""
    value = 0
    for count, byte in enumerate(data[at : at + LONGEST]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:  # noqa: PLR2004 the last byte has no mark
            return value, at + count + 1
    raise ValueError(f"cut off at byte {len(data)}")
