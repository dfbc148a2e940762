"""A decoder's portable graph as ONNX Runtime's CPU kernels want it, made of passes.

A lowering: only ONNX Runtime runs what comes out. The portable graph stays what a bundle ships.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto

from edgespark.engines.passes.early_select import early_select
from edgespark.engines.passes.fused_norms import fused_norms, fused_sums
from edgespark.engines.passes.fused_silu import fused_silu
from edgespark.engines.passes.group_query_attention import (
    LENGTHS,
    group_query_attention,
    packed_attention,
)
from edgespark.engines.passes.merge_products import merge_products
from edgespark.engines.passes.nbits import nbits
from edgespark.engines.passes.prove_attention import POSITIONS
from edgespark.engines.ports import declare
from edgespark.engines.sourced import Sourced, opened, written
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Axis, Port, State

__all__ = ["Lowered", "LoweredFile", "cpu_decoder", "lower_decoder"]

# The oldest version of ONNX Runtime in which kernels for the CPU run what is made, found by trying.
PLAIN = "1.20"
NEEDS = {("bits", 8): "1.22", ("kv_cache_bit_width", 8): "1.27"}
"""By the value of a node's attribute, the least first."""
ONE = Axis(name="batch", low=1, high=1)
SELECT = "select"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowered:
    """A lowered graph, whose weights wait; its ports, those of states apart.

    `states` are [1, heads, context, head_dim], past and new of each one memory. `how` counts the
    nodes by operator.
    """

    graph: Sourced
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    how: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoweredFile:
    """A lowered graph in a file; `data` are the names of the files with its weights, beside it.

    `onnxruntime` is the oldest version that runs it; the rest is as in Lowered.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    data: tuple[str, ...]
    onnxruntime: str
    how: dict[str, int]


def lower_decoder(  # noqa: PLR0913 what the portable graph has, and where to: no more, no less
    graph: Path,
    states: tuple[State, ...],
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    context: int,
    into: Path,
) -> LoweredFile:
    """Lower the decoder in the file `graph`, its external data beside it, into the new file `into`.

    `inputs`, `outputs` and `states` are the portable graph's; `context` is how many positions the
    states have room for. Weights of 64 MiB and more go into `into`.data, one at a time. CheckError
    where the graph is of no form that the passes know; BundleError where it is no graph; OSError
    where nothing can be written. Nothing is left of files that were begun.
    """
    made = cpu_decoder(opened(graph), states, inputs, outputs, context)
    return LoweredFile(
        inputs=made.inputs,
        outputs=made.outputs,
        states=made.states,
        data=written(made.graph, into),
        onnxruntime=_oldest(made.graph.model.graph),
        how=made.how,
    )


def cpu_decoder(
    given: Sourced,
    states: tuple[State, ...],
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    context: int,
) -> Lowered:
    """Lower a decoder's portable graph, of float32, int8 or int4 weights.

    The ports are the portable graph's. Gives the same function of one sequence, but for rounding.
    CheckError where the graph is of no form that the passes know.
    """
    _check(given.model.graph)
    held = group_query_attention(given, states, context)
    graph = merge_products(nbits(_changed(held.graph, fused_norms, fused_silu)))
    graph = _changed(graph, packed_attention, _selected, fused_sums)
    made = Lowered(
        graph=graph,
        inputs=(*_alone(inputs), *map(_length, LENGTHS)),
        outputs=_alone(outputs),
        states=held.states,
        how=dict(sorted(Counter(node.op_type for node in graph.model.graph.node).items())),
    )
    declare(
        graph.model,
        (*made.inputs, *(each.past for each in made.states)),
        (*made.outputs, *(each.new for each in made.states)),
    )
    return made


def _oldest(graph: onnx.GraphProto) -> str:
    used = {(each.name, each.i) for node in graph.node for each in node.attribute}
    return [PLAIN, *(version for need, version in NEEDS.items() if need in used)][-1]


def _changed(given: Sourced, *passes: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Sourced:
    """Change a graph by passes that make no new weights."""
    model = given.model
    for each in passes:
        model = each(model)
    return replace(given, model=model)


def _selected(model: onnx.ModelProto) -> onnx.ModelProto:
    return early_select(model, SELECT)


def _check(graph: onnx.GraphProto) -> None:
    halves = [each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT16]
    if halves:
        raise CheckError(
            f"{halves[0]} is float16, in which a CPU does not compute: lower the graph of another "
            "precision"
        )


def _alone(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Give the ports of one sequence, without its positions; no row at all may be selected."""
    return tuple(
        replace(port, axes=tuple(map(_axis, port.axes))) for port in ports if port.name != POSITIONS
    )


def _axis(axis: Axis) -> Axis:
    if axis.name == "selected":
        return replace(axis, low=0)
    return ONE if axis.name == "batch" else axis


def _length(name: str) -> Port:
    axes = (ONE,) if name == LENGTHS[0] else ()
    return Port(name=name, dtype="int32", axes=axes)
