"""A decoder's attention as one operator of ONNX Runtime, which writes keys and values in place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.absent import absent, is_absent
from edgespark.engines.passes.contributed import CONTRIBUTED, import_contributed
from edgespark.engines.passes.find_attention import Attention, find_attention
from edgespark.engines.passes.prove_attention import POSITIONS, Floats, Rotation, prove_attention
from edgespark.engines.passes.sweep import sweep
from edgespark.engines.passes.wiring import copied, put, stored, wiring
from edgespark.engines.sourced import Array, Sourced
from edgespark.engines.straighten import MATRIX
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Axis, Port, State

__all__ = ["LENGTHS", "InPlace", "group_query_attention", "packed_attention"]

OPERATOR = "GroupQueryAttention"
COS, SIN = "rotation.cos", "rotation.sin"
LENGTHS = ("seqlens_k", "total_sequence_length")
NONE = ("", "", "")  # position_ids, attention_bias, head_sink
PARTS = 3  # queries, keys, values
KV_BITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class InPlace:
    """The changed graph, and its states [1, heads, context, head_dim]: past and new are one."""

    graph: Sourced
    states: tuple[State, ...]


def group_query_attention(given: Sourced, states: Sequence[State], context: int) -> InPlace:
    """Write each layer's attention as one GroupQueryAttention.

    Needs: a decoder's portable graph, with `inputs_embeds` and `position_ids`, and sequence-major
    states, float32 or int8; attention as `prove_attention` has it.
    Gives: a graph for one sequence, whose positions count from 0. It takes no `position_ids`, but
    `seqlens_k`, int32 [1], the positions after this run less one, and `total_sequence_length`,
    int32 [], those positions; they stand before its states. Where these are int8, new rows are read
    as codes in the step that makes them too. CheckError where attention is not found, or computes
    something else, or the context is longer than the tables of positions.
    """
    layers = find_attention(given.model.graph, states)
    tables = _tables(given)
    rotation = _rotation(tables, context)
    shown = _shown(given.model, tables)
    for each in layers:
        prove_attention(shown, each, states, rotation)
    made, kept = copied(given.model), tuple(_in_place(each, context) for each in states)
    _put(made.graph, layers, states)
    _declare(made.graph, kept)
    for name, table in ((COS, rotation.cos), (SIN, rotation.sin)):
        made.graph.initializer.append(absent(name, TensorProto.FLOAT, table.shape))
    sweep(made.graph)
    _check_gone(made.graph, {POSITIONS, *(each.past.name for each in states)})
    import_contributed(made)
    source = given.adding({COS: lambda: rotation.cos, SIN: lambda: rotation.sin})
    return InPlace(graph=Sourced(model=made, source=source), states=kept)


def packed_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a GroupQueryAttention read queries, keys and values as one tensor.

    Needs: they are the parts of one Split, in this order. Gives: the same function.
    """
    made = copied(model)
    seen = wiring(made.graph)
    for node in made.graph.node:
        parts = list(node.input[:PARTS])
        split = seen.makers.get(parts[0]) if node.op_type == OPERATOR else None
        if split is not None and split.op_type == "Split" and list(split.output) == parts:
            for place, name in enumerate((split.input[0], "", "")):
                node.input[place] = name
    sweep(made.graph)
    return made


def _tables(given: Sourced) -> dict[str, Array]:
    """Read the tables whose rows are gathered by position."""
    weights = {each.name: each for each in given.model.graph.initializer}
    names = {
        node.input[0]
        for node in given.model.graph.node
        if node.op_type == "Gather" and node.input[1] == POSITIONS and node.input[0] in weights
    }
    return {name: given.array(name) for name in names if len(weights[name].dims) == MATRIX}


def _rotation(tables: dict[str, Array], context: int) -> Rotation:
    """Tell cos from sin by position 0; both halves of a row must be the same."""
    cos = [each for each in tables.values() if (each[:1] == 1).all()]
    sin = [each for each in tables.values() if (each[:1] == 0).all()]
    if len(tables) != len(cos) + len(sin) or (len(cos), len(sin)) != (1, 1):
        raise CheckError(
            f"the graph gathers {', '.join(tables) or 'no table'} by {POSITIONS}; expected RoPE's "
            "cos and sin, [positions, head_dim] each"
        )
    halves = [_half(table, context) for table in (*cos, *sin)]
    return Rotation(cos=halves[0], sin=halves[1])


def _half(table: Array, context: int) -> Floats:
    if len(table) < context:
        raise CheckError(
            f"the graph rotates {len(table)} positions; the context is to have {context}"
        )
    one, two = np.split(table[:context].astype(np.float32), 2, -1)
    if not np.array_equal(one, two):
        raise CheckError("RoPE's tables differ between their halves: positions turn no pairs")
    return np.ascontiguousarray(one)


def _shown(model: onnx.ModelProto, tables: dict[str, Array]) -> onnx.ModelProto:
    """Give the graph with these of its absent initializers in it."""
    made = copied(model)
    for each in made.graph.initializer:
        if each.name in tables and is_absent(each):
            each.CopyFrom(stored(each.name, tables[each.name]))
    return made


def _put(graph: onnx.GraphProto, layers: Sequence[Attention], states: Sequence[State]) -> None:
    """Let the operators stand where attention was made; what else made new states goes."""
    written = {each.out: _node(each) for each in layers}
    news = {each.new.name for each in states}
    kept = (node for node in graph.node if news.isdisjoint(node.output))
    put(graph, [written.get(node.output[0], node) for node in kept])
    for each in states:
        if each.step is not None:
            graph.initializer.append(stored(_scale(each), np.array([each.step], np.float32)))


def _node(layer: Attention) -> NodeProto:
    heads, size = (axis.low for axis in layer.keys.past.axes[2:])
    pasts = [layer.keys.past.name, layer.values.past.name]
    inputs = [layer.query, layer.key, layer.value, *pasts, *LENGTHS, COS, SIN]
    told: dict[str, Any] = {"scale": size**-0.5}
    if layer.keys.step is not None:
        inputs += [*NONE, _scale(layer.keys), _scale(layer.values)]
        told |= {"kv_cache_bit_width": KV_BITS}
        told |= dict.fromkeys(("k_quant_type", "v_quant_type"), "PER_TENSOR")
    return helper.make_node(
        OPERATOR,
        inputs,
        [layer.out, layer.keys.new.name, layer.values.new.name],
        layer.out,
        domain=CONTRIBUTED,
        num_heads=heads,
        kv_num_heads=heads,
        do_rotary=1,
        **told,
    )


def _scale(state: State) -> str:
    return f"{state.past.name}.scale"


def _in_place(state: State, context: int) -> State:
    heads, size = state.past.axes[2:]
    axes = (
        Axis(name="batch", low=1, high=1),
        heads,
        Axis(name="context", low=context, high=context),
        size,
    )
    past, new = (replace(each, axes=axes) for each in (state.past, state.new))
    return State(past=past, new=new, step=state.step)


def _declare(graph: onnx.GraphProto, states: Sequence[State]) -> None:
    """Write the new inputs and outputs: those of old, the lengths, the states."""
    old = {each for state in states for each in (state.past.name, state.new.name)} | {POSITIONS}
    lengths = [
        helper.make_tensor_value_info(name, TensorProto.INT32, dims)
        for name, dims in zip(LENGTHS, ([1], []), strict=True)
    ]
    for values, ports, more in (
        (graph.input, [each.past for each in states], lengths),
        (graph.output, [each.new for each in states], []),
    ):
        kept = [each for each in values if each.name not in old]
        del values[:]
        values.extend([*kept, *more, *map(_value, ports)])


def _value(port: Port) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, kind, [axis.low for axis in port.axes])


def _check_gone(graph: onnx.GraphProto, gone: set[str]) -> None:
    """Refuse a graph in which something else than attention reads positions, or a past."""
    read = {name for node in graph.node if node.op_type != OPERATOR for name in node.input}
    if left := sorted(read & gone):
        raise CheckError(
            f"{', '.join(left)} is read beside attention too: the graph does more with positions "
            "and states than is known here"
        )
