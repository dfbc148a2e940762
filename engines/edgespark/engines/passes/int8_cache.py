"""A decoder whose keys and values are kept as int8: a quarter of the memory, and of the traffic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from edgespark.engines.passes.wiring import copied, put, stored
from edgespark.engines.quantise import LARGEST
from edgespark.runtime.codes import is_step
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import State

WIDE = "wide"  # ends the name of the float32 tensor whose int8 codes the port has
STEP, ZERO = "step", "state.zero"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """The changed graph, and its states as int8, with their steps."""

    model: onnx.ModelProto
    states: tuple[State, ...]


def int8_cache(
    model: onnx.ModelProto, states: Sequence[State], peaks: Mapping[str, float]
) -> Cached:
    """Let a decoder read its past as int8 codes, and give its new rows as such.

    Needs float32 states, and the peak of each `new` on calibration data: codes are symmetric, with
    one step (peak / 127) for each state; what goes beyond the peak is cut off. Gives a copy. New
    rows are read as they are in the step that makes them, and as codes after that. Weights may be
    absent. InputError where a peak lacks, or is not above zero and finite.
    """
    made, codes = copied(model), as_codes(states, peaks)
    graph = made.graph
    wide = {port.name: f"{port.name}.{WIDE}" for each in states for port in (each.past, each.new)}
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = wide.get(name, name)
    for value in (*graph.input, *graph.output):
        if value.name in wide:
            value.type.tensor_type.elem_type = TensorProto.INT8
    constants = {ZERO: np.zeros((), np.int8)} | {
        f"{each.new.name}.{STEP}": np.array(each.step, np.float32) for each in codes
    }
    graph.ClearField("value_info")  # where the ports' old dtypes would stand
    graph.initializer.extend(stored(name, array) for name, array in constants.items())
    before = [_node("DequantizeLinear", each, each.past.name, wide) for each in states]
    after = [_node("QuantizeLinear", each, each.new.name, wide) for each in states]
    put(graph, [*before, *graph.node, *after])
    return Cached(model=made, states=codes)


def as_codes(states: Sequence[State], peaks: Mapping[str, float]) -> tuple[State, ...]:
    """Return the states that `int8_cache` gives; it raises the same."""
    return tuple(_as_codes(each, _step(each, peaks)) for each in states)


def _node(operator: str, state: State, name: str, wide: Mapping[str, str]) -> NodeProto:
    ends = (name, wide[name])
    x, out = ends if operator == "DequantizeLinear" else ends[::-1]
    return helper.make_node(operator, [x, f"{state.new.name}.{STEP}", ZERO], [out], f"{name}.codes")


def _step(state: State, peaks: Mapping[str, float]) -> float:
    peak = peaks.get(state.new.name)
    step = float(np.float32((peak or 0.0) / LARGEST))
    if not is_step(step):
        told = "none" if peak is None else f"{peak:g}"
        raise InputError(
            f"{state.new.name}: got a peak of {told}; expected one above zero and finite: "
            "calibrate on data that the decoder is run on"
        )
    return step


def _as_codes(state: State, step: float) -> State:
    past, new = (replace(each, dtype="int8") for each in (state.past, state.new))
    return State(past=past, new=new, step=step)
