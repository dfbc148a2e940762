"""Float16 graphs by Casts, for builders that take each tensor in the dtype that the graph says."""

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import NodeProto

from edgespark.engines.layers import Layer, Report
from edgespark.engines.passes.casts import LARGEST, SMALLEST, unfit
from edgespark.engines.passes.half_between import half_between
from edgespark.engines.passes.half_products import half_products, narrowable
from edgespark.engines.passes.kinds import sizes
from edgespark.engines.passes.rounding import rounding
from edgespark.engines.passes.wiring import WORK, Wiring, ends, wiring
from edgespark.engines.passes.work import Work, multiply_adds
from edgespark.runtime.errors import InputError

ROOM = LARGEST / 4  # a tensor that came closer to the end of float16 stays float32


def halved(
    model: onnx.ModelProto, peaks: Mapping[str, float], keep: Mapping[str, str]
) -> tuple[onnx.ModelProto, Report]:
    """Let a float32 graph compute in float16: products, and what is cheap between them.

    `peaks` is the greatest |x| of the graph's float32 tensors on calibration data, by name; `keep`
    gives layers that stay float32, each with the reason. Float32 stay too: ports, softmax, norms,
    RoPE, residual sums, what came within a quarter of float16's end or had a peak too near zero for
    it, and what reads a constant that it cannot hold. A tensor that `peaks` does not know is taken
    to fit. Weights may still be absent.

    Gives a copy, and what became of each layer. InputError where `keep` names no layer, or a peak
    is no number.
    """
    _check(model, peaks, keep)
    wide = {name: told for name, peak in peaks.items() if (told := _unheld(peak))}
    reasons = {**_reasons(model, wide), **keep}
    made = half_between(half_products(model, reasons), set(wide))
    return rounding(made), _report(model, reasons)


def _check(model: onnx.ModelProto, peaks: Mapping[str, float], keep: Mapping[str, str]) -> None:
    layers = {node.output[0] for node in model.graph.node if node.op_type in WORK}
    if strange := sorted(set(keep) - layers):
        told = ", ".join(strange)
        raise InputError(f"no layer to keep named {told}; expected the output of a product")
    if wrong := [name for name, peak in peaks.items() if not (peak >= 0 and math.isfinite(peak))]:
        raise InputError(
            f"{wrong[0]}: a peak of {peaks[wrong[0]]}; expected a finite number of zero or more: "
            "calibrate again"
        )


def _unheld(peak: float) -> str:
    """Say why float16 should not hold a tensor of that peak; "" where it can."""
    if peak > ROOM:
        return f"reaches {peak:.4g}, within a quarter of float16's end at {LARGEST:.0f}"
    return f"is {peak:.3g} at most: float16 has no digits for it" if 0 < peak < SMALLEST else ""


def _reasons(model: onnx.ModelProto, wide: Mapping[str, str]) -> dict[str, str]:
    """Say of the products and look-ups that cannot be float16 why."""
    wires, free = wiring(model.graph), set(narrowable(model))
    told = {name: next(_barriers(wires.makers[name], wires, wide), "") for name in free}
    layers = {node.output[0] for node in model.graph.node if node.op_type in WORK}
    told |= dict.fromkeys(layers - free, "belongs to a rotation, or is not float32 at all")
    return {name: reason for name, reason in told.items() if reason}


def _barriers(node: NodeProto, wires: Wiring, wide: Mapping[str, str]) -> Iterator[str]:
    for name in (*node.output, *node.input):
        if name in wide:
            yield f"{name} {wide[name]}"
        if name in wires.weights and (told := unfit(wires.weights[name])):
            yield told
        if name in wires.makers and wires.makers[name].op_type == "DequantizeLinear":
            yield f"{name} is quantised"


def _report(model: onnx.ModelProto, reasons: Mapping[str, str]) -> Report:
    known = sizes(model)
    return Report(
        layers=tuple(
            Layer(
                name=node.output[0],
                operator=node.op_type,
                work=multiply_adds(Work(node=node, kind="other", tensors=()), known),
                precision="fp32" if node.output[0] in reasons else "fp16",
                reason=reasons.get(node.output[0], ""),
            )
            for node in model.graph.node
            if node.op_type in WORK
        )
    )


def last(model: onnx.ModelProto) -> dict[str, str]:
    """Name the products that give the graph's outputs, up to a bias, with a reason to keep them.

    A decision is read off them: float16 has steps of 0.008 between 8 and 16, and makes equals of a
    best and a second best that are closer than that.
    """
    given = ends(model.graph)
    return {
        node.output[0]: "a decision is read off it, and float16 would make equals of what is close"
        for node in model.graph.node
        if node.op_type in WORK and node.output[0] in given
    }
