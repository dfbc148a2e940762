"""Nodes whose results nobody reads, and the constants that only they read, are taken out."""

import onnx

from edgespark.engines.passes.wiring import drop_unread, put
from edgespark.engines.straighten import readers

__all__ = ["sweep"]


def sweep(graph: onnx.GraphProto) -> None:
    """Take nodes out of a graph until each that stays is read, or gives an output of the graph."""
    given = {each.name for each in graph.output}
    before = -1
    while before != len(graph.node):
        before = len(graph.node)
        read = readers(graph).keys() | given
        put(graph, [node for node in graph.node if not read.isdisjoint(node.output)])
    drop_unread(graph, [each.name for each in graph.initializer if each.name not in given])
