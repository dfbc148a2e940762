"""Protocol buffers' wire format, as far as reading needs it, and adding to what was read.

https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each a number, a
wire type and a value. Messages that stand one behind the other are one: a message that a field
holds once is merged with what is there, and what a field holds in a list is added to it.
"""

from collections.abc import Iterator
from typing import TypeVar

Message = TypeVar("Message", bytes, memoryview)

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5  # wire types; groups are long out of use
SIZES = {FIXED64: 8, FIXED32: 4}
LONGEST = 10  # bytes of a number


def fields(message: Message) -> Iterator[tuple[int, int, int | Message]]:
    """Yield the fields of a message in their order: number, wire type and value.

    A varint is an int, all else a part of the message, which may be bytes or a memoryview.
    ValueError where the message is cut off, or none.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        if kind == SIZED:
            size, at = _varint(message, at)
        elif kind in SIZES:
            size = SIZES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field of {size} bytes is cut off at byte {at}")
        yield number, kind, message[at : at + size]
        at += size


def sized(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes, a text or a message."""
    return b"".join((_written(number << 3 | SIZED), _written(len(content)), content))


def _written(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:  # noqa: PLR2004 the bit that says that more follows
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a byte, seven bits to the byte, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + LONGEST]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 the bit that says that more follows
            return value, at + place + 1
    raise ValueError(f"a number is cut off at byte {at}")
