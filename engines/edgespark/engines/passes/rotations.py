"""Rotary position embeddings (RoPE, arXiv 2104.09864) in a graph: what cos and sin are read by."""

from itertools import combinations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgespark.engines.absent import is_absent
from edgespark.engines.passes.moves import MOVES

TABLE = 2  # axes at least: positions, and numbers of each
TURNS = ("Cos", "Sin")
CLOSE = 1e-3  # of cos² + sin² to 1; tables may come from float16
Array = NDArray[np.float32]


def rotations(graph: onnx.GraphProto) -> frozenset[str]:
    """Name the tensors that are made in rotating: angles, their cos and sin, products, sums.

    Tables of cos and sin are known by cos² + sin² = 1; an absent table is not known.
    """
    found, turned = _angles(graph) | _tables(graph), set[str]()
    for node in graph.node:
        read = set(node.input)
        if node.op_type in TURNS or (read & found and node.op_type in MOVES):
            found.update(node.output)
        elif (read & found and node.op_type == "Mul") or (read & turned and node.op_type in MOVES):
            turned.update(node.output)
    joined = {
        node.output[0]
        for node in graph.node
        if node.op_type in ("Add", "Sub") and turned & set(node.input)
    }
    made = {name for node in graph.node for name in node.output}
    return frozenset(made & (found | turned | joined))


def _angles(graph: onnx.GraphProto) -> set[str]:
    """Name what the angles of Cos and Sin are computed from."""
    found = set[str]()
    for node in reversed(graph.node):
        if node.op_type in TURNS or not found.isdisjoint(node.output):
            found.update(node.input)
    return found


def _tables(graph: onnx.GraphProto) -> set[str]:
    found: dict[str, Array] = {
        each.name: numpy_helper.to_array(each)
        for each in graph.initializer
        if each.data_type == TensorProto.FLOAT and len(each.dims) >= TABLE and not is_absent(each)
    }
    pairs = [
        {a, b}
        for a, b in combinations(found, 2)
        if found[a].shape == found[b].shape and _is_circle(found[a], found[b])
    ]
    return set[str]().union(*pairs)


def _is_circle(a: Array, b: Array) -> bool:
    # the first numbers tell nearly any two weights apart: few are looked at as wholes
    return all(
        bool((np.abs(np.square(a[rows]) + np.square(b[rows]) - 1) < CLOSE).all())
        for rows in (slice(1), slice(None))
    )
