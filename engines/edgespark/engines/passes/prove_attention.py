"""Prove by running it what a decoder's attention computes: beside numpy, on drawn numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgespark.engines.passes.find_attention import Attention
from edgespark.engines.pieces import piece
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.errors import BundleError, CheckError, DeviceError, UsageError
from edgespark.runtime.manifest import Axis, Port, State

__all__ = ["EMBEDDINGS", "POSITIONS", "Rotation", "prove_attention"]

EMBEDDINGS, POSITIONS = "inputs_embeds", "position_ids"
SHORT = ((3, 0), (1, 5), (3, 2))  # new positions, and those before them
LIMIT = 1e-3  # of the greatest value: sums of float32 in another order stay far below
LOWEST, HIGHEST = -128, 127  # of int8
ANY = 1 << 20
Floats = NDArray[np.float32]
Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """RoPE by halves (arXiv 2104.09864): cos and sin of each position, [context, head_dim / 2]."""

    cos: Floats
    sin: Floats

    def __call__(self, x: Floats, first: int) -> Floats:
        """Rotate x [sequence, heads, head_dim], whose first row stands at that position."""
        where = slice(first, first + len(x))
        cos, sin = (np.tile(each[where], 2)[:, None] for each in (self.cos, self.sin))
        one, two = np.split(x, 2, -1)
        made = x * cos + np.concatenate([-two, one], -1) * sin
        return made.astype(np.float32, copy=False)


def prove_attention(
    model: onnx.ModelProto, layer: Attention, states: Sequence[State], rotation: Rotation
) -> None:
    """Run a layer's attention beside causal attention with that rotation, scaled by 1/√head_dim.

    The graph's inputs are `inputs_embeds` [batch, sequence, width], `position_ids` and the states;
    its weights may be absent, those of attention not. The longest of what is run fills the context.
    CheckError where what it gives, or its new states, are something else.
    """
    names, context = (layer.query, layer.key, layer.value), len(rotation.cos)
    known = _known(model, layer, states)
    outputs = (_open(layer.out), layer.keys.new, layer.values.new)
    cut = piece(model, tuple(known[name] for name in names), outputs)
    inputs = [each.name for each in cut.graph.input]
    if strange := sorted(set(inputs) - known.keys()):
        raise CheckError(f"attention around {layer.keys.past.name!r} also reads {strange}")
    program = Program(
        where=layer.out,
        graph=cut.SerializeToString(),
        inputs=tuple(known[name] for name in inputs),
        outputs=outputs,
        threads=1,
        exact=True,
    )
    feeds = [_drawn(program.inputs, states, *each) for each in SHORT if sum(each) <= context]
    longest = _drawn(program.inputs, states, 1, context - 1)
    for fed, got in _run(program, (*feeds, longest)):
        _compare(layer, got, dict(_expected(layer, rotation, fed)))


def _run(
    program: Program, feeds: Iterable[dict[str, Array]]
) -> Iterator[tuple[dict[str, Array], Mapping[str, Array]]]:
    """Run a graph on each; CheckError where it cannot be, with other sizes than it is said to."""
    try:
        session = backend("onnxruntime").open_session(program)
        with closing(session):
            for fed in feeds:
                yield fed, session.run(fed)
    except (BundleError, DeviceError, UsageError) as error:
        raise CheckError(f"attention is of no known form: {error}") from error


def _known(model: onnx.ModelProto, layer: Attention, states: Sequence[State]) -> dict[str, Port]:
    """Give the ports of all that attention may read; those of layers are as wide as all heads."""
    heads, size = (axis.low for axis in layer.keys.past.axes[2:])
    dims = {
        each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in model.graph.input
    }
    if missing := sorted({EMBEDDINGS, POSITIONS} - dims.keys()):
        raise CheckError(f"a decoder's graph takes {', '.join(missing)}; this one does not")
    ports = [
        *(_open(name, heads * size) for name in (layer.query, layer.key, layer.value)),
        _open(EMBEDDINGS, dims[EMBEDDINGS][-1]),
        Port(name=POSITIONS, dtype="int64", axes=_open(POSITIONS).axes[:2]),
        *(each.past for each in states),
    ]
    return {port.name: port for port in ports}


def _open(name: str, width: int = 0) -> Port:
    """Make a port float32 [batch, sequence, width], of any width where it is 0."""
    sizes = (("batch", 1, ANY), ("sequence", 1, ANY), ("width", width, width or ANY))
    axes = (Axis(name=axis, low=low, high=high) for axis, low, high in sizes)
    return Port(name=name, dtype="float32", axes=tuple(axes))


def _drawn(ports: Sequence[Port], states: Sequence[State], new: int, past: int) -> dict[str, Array]:
    """Draw what attention reads: standard normal numbers, and their codes, always the same."""
    generator, pasts = np.random.default_rng(past), {each.past.name: each for each in states}
    made: dict[str, Array] = {}
    for port in ports:
        if port.name == POSITIONS:
            made[port.name] = np.arange(past, past + new)[None]
        elif port.name in pasts:
            shape = (past, 1, *(axis.low for axis in port.axes[2:]))
            drawn = generator.standard_normal(shape, np.float32)
            made[port.name] = _coded(drawn, pasts[port.name]).astype(port.dtype)
        else:
            made[port.name] = generator.standard_normal((1, new, port.axes[-1].low), np.float32)
    return made


def _expected(
    layer: Attention, rotation: Rotation, fed: Mapping[str, Array]
) -> Iterator[tuple[str, Floats]]:
    """Give the new states of attention, and what it gives."""
    shape = (-1, *(axis.low for axis in layer.keys.past.axes[2:]))
    query, key, value = (
        fed[name][0].astype(np.float32).reshape(shape)
        for name in (layer.query, layer.key, layer.value)
    )
    old = [_wide(fed[each.past.name], each) for each in (layer.keys, layer.values)]
    past = len(old[0])
    query, key = rotation(query, past), rotation(key, past)
    yield layer.keys.new.name, _coded(key, layer.keys)
    yield layer.values.new.name, _coded(value, layer.values)
    keys, values = (np.concatenate(pair) for pair in zip(old, (key, value), strict=True))
    scores = np.einsum("qhd,khd->hqk", query, keys) * np.float32(query.shape[-1] ** -0.5)
    ahead = np.arange(len(keys)) > np.arange(len(query))[:, None] + past
    weights = np.exp(np.where(ahead, -np.inf, scores - scores.max(-1, keepdims=True)))
    yield layer.out, np.einsum("hqk,khd->qhd", weights / weights.sum(-1, keepdims=True), values)


def _compare(layer: Attention, got: Mapping[str, Array], wanted: Mapping[str, Floats]) -> None:
    for name, array in wanted.items():
        apart = np.abs(got[name].reshape(-1).astype(np.float32) - array.reshape(-1)).max()
        limit = 1.0 if got[name].dtype == np.int8 else LIMIT * float(np.abs(array).max())
        if not apart <= limit:
            raise CheckError(
                f"{name}: attention around {layer.keys.past.name!r} computes something else than "
                "causal attention with RoPE by halves, scaled by the root of head_dim: its "
                f"greatest difference is {apart:.1e}"
            )


def _coded(x: Floats, state: State) -> Floats:
    if state.step is None:
        return x
    return np.clip(np.rint(x / np.float32(state.step)), LOWEST, HIGHEST)


def _wide(array: Array, state: State) -> Floats:
    return array[:, 0].astype(np.float32) * np.float32(state.step or 1)
