"""Graphs with more outputs: what tensors within them hold, seen without the onnx package."""

from collections.abc import Iterable, Iterator

from edgespark.runtime.errors import UsageError
from edgespark.runtime.wire import SIZED, fields, sized
from edgespark.runtime.wording import listed

# Fields of onnx.proto.
GRAPH = 7  # of ModelProto
NODE, OUTPUT = 1, 12  # of GraphProto
MADE = 2  # of NodeProto: the names of what it gives
NAME = 1  # of ValueInfoProto


def watched(graph: bytes, names: Iterable[str]) -> bytes:
    """Return the bytes of an ONNX graph that gives these tensors too, behind its own outputs.

    A name that is an output already adds nothing. Nodes and weights are as they were; but what
    must be given cannot be fused away, so that a run may take longer, and round otherwise.
    UsageError for names of nothing that a node of the graph gives, subgraphs apart; ValueError
    where the bytes are no protobuf message.
    """
    wanted = list(dict.fromkeys(names))
    known = tensors(graph)
    if strange := [name for name in wanted if name not in known]:
        raise UsageError(f"no node of the graph gives {listed(strange)}: name what its nodes give")
    given = {_name(each) for each in _of_graph(graph, OUTPUT)}
    added = [sized(NAME, name.encode()) for name in wanted if name not in given]
    # ONNX Runtime finds types and shapes of outputs that come without
    return graph + sized(GRAPH, b"".join(sized(OUTPUT, each) for each in added)) * bool(added)


def tensors(graph: bytes) -> set[str]:
    """Return the names of all that the nodes of a graph give, subgraphs apart.

    ValueError where the bytes are no protobuf message.
    """
    nodes = _of_graph(graph, NODE)
    found = {_text(name) for node in nodes for name in _held(node, MADE)}
    return found - {""}  # an output that a node does not give


def _of_graph(graph: bytes, number: int) -> Iterator[memoryview]:
    for each in _held(memoryview(graph), GRAPH):
        yield from _held(each, number)


def _held(message: memoryview, number: int) -> Iterator[memoryview]:
    for found, wire, value in fields(message):
        if found == number and wire == SIZED and not isinstance(value, int):
            yield value


def _name(value: memoryview) -> str:
    return "".join(_text(each) for each in _held(value, NAME))


def _text(content: memoryview) -> str:
    return bytes(content).decode(errors="backslashreplace")
