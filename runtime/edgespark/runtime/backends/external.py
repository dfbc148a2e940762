"""Which files a graph would read: found in its bytes, since the runtime has no onnx package.

ONNX Runtime opens whatever a graph names, hashed or not: 1.20 to 1.23 any path, an absolute one
too; a graph from bytes without a folder reads from the working directory, in 1.31 still.
"""

from edgespark.runtime.wire import SIZED, fields

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


def locations(graph: bytes) -> set[str]:
    """Return the files that the tensors of an ONNX graph name, as the graph writes them.

    ValueError where the bytes are no protobuf message.
    """
    found: set[str] = set()
    # strings stand in the bytes as they are: without the key no tensor can name a file
    waiting = [("ModelProto", memoryview(graph))] if LOCATION in graph else []
    while waiting:
        kind, message = waiting.pop()
        sized = [
            (number, value)
            for number, wire, value in fields(message)
            if wire == SIZED and not isinstance(value, int)
        ]
        if kind == "StringStringEntryProto":
            entry = {number: bytes(content) for number, content in sized}
            if entry.get(KEY) == LOCATION:
                found.add(entry.get(VALUE, b"").decode(errors="backslashreplace"))
        inner = MESSAGES[kind]
        waiting += [(inner[number], content) for number, content in sized if number in inner]
    return found
