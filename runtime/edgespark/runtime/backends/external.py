"""Which files a graph would read: found in its bytes, since the runtime has no onnx package.

ONNX Runtime opens whatever a graph names, hashed or not: 1.20 to 1.23 any path, an absolute one
too; a graph from bytes without a folder reads from the working directory, in 1.31 still.
"""

from collections.abc import Iterator

# The messages of onnx.proto in which a TensorProto can stand: field → message.
MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
    "StringStringEntryProto": {},
}
LOCATION = b"location"  # the key in TensorProto.external_data whose value is the file
KEY, VALUE = 1, 2
VARINT, WIDE, BYTES, NARROW = 0, 1, 2, 5  # wire types of protobuf; groups are not in ONNX
SIZES = {WIDE: 8, NARROW: 4}
LONGEST_VARINT = 10


def locations(graph: bytes) -> set[str]:
    """Return the files that the tensors of an ONNX graph name, as the graph writes them.

    ValueError where the bytes are no protobuf message.
    """
    found: set[str] = set()
    # strings stand in the bytes as they are: without the key no tensor can name a file
    waiting = [("ModelProto", memoryview(graph))] if LOCATION in graph else []
    while waiting:
        kind, message = waiting.pop()
        fields = list(_fields(message))
        if kind == "StringStringEntryProto":
            entry = {number: bytes(content) for number, content in fields}
            if entry.get(KEY) == LOCATION:
                found.add(entry.get(VALUE, b"").decode(errors="backslashreplace"))
        inner = MESSAGES[kind]
        waiting += [(inner[number], content) for number, content in fields if number in inner]
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Give each field that holds bytes, a string or a message, with its number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _, at = _varint(message, at)
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in SIZES:
            size = SIZES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field of {size} bytes is cut at byte {at}")
        if kind == BYTES:
            yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of protobuf's variable length, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 the bit that says that more follows
            return value, at + place + 1
    raise ValueError(f"a number is cut at byte {at}")
