"""INT8 W8A8: both factors of a product are int8, with ranges that calibration found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import onnx

from edgespark.calibration.checks import problems
from edgespark.calibration.methods import peak_of
from edgespark.calibration.ranges import PartCalibration
from edgespark.calibration.statistics import Method, Statistics
from edgespark.engines.layers import Layer, Report
from edgespark.engines.passes.correct_bias import correct_bias
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.passes.quantize import quantize
from edgespark.engines.passes.smooth import Smoothing, smooth
from edgespark.engines.passes.wiring import Wiring, wiring
from edgespark.engines.passes.work import Work, multiply_adds, works
from edgespark.runtime.errors import InputError

LEAST, MOST = 1e-30, 1e15
"""Peaks that int8 takes: of smaller ones steps would be zero, of greater ones squares infinite."""

__all__ = ["Int8", "Ready", "quantised", "ready"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8:
    """How to make a graph int8.

    `method` finds the ranges, `smooth` evens out channels before, `correct` the means after. `keep`
    names layers that stay float32, each with the reason. `scores` are products of queries and keys,
    `mixes` those of attention weights and values. `results` rounds what Convs give as well, without
    which ONNX Runtime computes them in float32, slower than the float32 graph.
    """

    method: Method = "mse"
    smooth: bool = True
    correct: bool = True
    keep: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    scores: bool = True
    mixes: bool = False
    results: bool = True


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A float32 graph made ready for INT8: smoothed, with the ranges of all its layers.

    What is slow was done once; `graph` makes one mix of precisions after another of it.
    """

    model: onnx.ModelProto
    layers: tuple[Layer, ...]
    statistics: Mapping[str, Statistics]
    peaks: Mapping[str, float]
    how: Int8

    def graph(self, keep: Mapping[str, str]) -> tuple[onnx.ModelProto, Report]:
        """Make the graph in which the layers of `keep` stay float32, and tell what each became."""
        told = tuple(
            replace(each, precision="fp32", reason=keep[each.name]) if each.name in keep else each
            for each in self.layers
        )
        narrow = {each.name for each in told if not each.reason}
        model = self.model
        if self.how.correct:
            model = correct_bias(model, self.statistics, narrow, self.peaks)
        return quantize(model, narrow, self.peaks), Report(layers=told)


def quantised(
    model_fp32: onnx.ModelProto, calibration: PartCalibration, how: Int8
) -> tuple[onnx.ModelProto, Report]:
    """Make the int8 graph of a float32 one, and tell what each layer became; see `ready`."""
    return ready(model_fp32, calibration, how).graph(how.keep)


def ready(model_fp32: onnx.ModelProto, calibration: PartCalibration, how: Int8) -> Ready:
    """Prepare and smooth a float32 graph, and find the range of whatever becomes int8.

    Inputs and outputs stay float32. A layer that cannot be int8 has the reason. InputError where
    the calibration is not that of this graph, prepared, where a range is not finite, and where
    `keep` names no layer.
    """
    model = prepared(model_fp32)
    seen, everything = wiring(model.graph), works(model.graph)
    sizes = {name: tuple(each.dims) for name, each in seen.weights.items()}
    sizes |= {name: each.shape for name, each in calibration.tensors.items()}
    _must_fit(everything, sizes, calibration, how)
    reasons = {work.name: _reason(work, seen, calibration, how) for work in everything}
    quantisable = [work for work in everything if not reasons[work.name]]
    layers = {work.name for work in quantisable}
    statistics = calibration.tensors
    if how.smooth:
        smoothing = Smoothing(method=how.method)
        model, statistics, _ = smooth(model, statistics, layers, smoothing)
    peaks = _peaks(quantisable, statistics, how)
    if how.results:
        peaks |= _results(quantisable, seen, peaks, calibration)
    return Ready(
        model=model,
        layers=tuple(_layer(work, sizes, reasons[work.name]) for work in everything),
        statistics=statistics,
        peaks=peaks,
        how=how,
    )


def _layer(work: Work, sizes: Mapping[str, tuple[int, ...]], reason: str) -> Layer:
    return Layer(
        name=work.name,
        operator=work.node.op_type,
        work=multiply_adds(work, sizes),
        precision="fp32" if reason else "int8",
        reason=reason,
    )


def _must_fit(
    everything: list[Work],
    sizes: Mapping[str, tuple[int, ...]],
    calibration: PartCalibration,
    how: Int8,
) -> None:
    found = list(_misfits(everything, sizes, calibration))
    if unknown := how.keep.keys() - {work.name for work in everything}:
        found.append(f"no layer is named {', '.join(sorted(unknown))}: it cannot stay float32")
    if found:
        raise InputError(f"{calibration.part}: {'; '.join(found)}")


def _misfits(
    everything: list[Work], sizes: Mapping[str, tuple[int, ...]], calibration: PartCalibration
) -> Iterator[str]:
    again = "the graph no longer matches it; calibrate again"
    read = dict.fromkeys(name for work in everything for name in work.tensors)
    missing = [name for name in read if name not in calibration.tensors]
    if missing:
        yield f"the calibration knows no tensor {', '.join(missing)}: {again}"
    for name in read.keys() & calibration.tensors.keys():
        yield from (f"{name}: {each}" for each in problems(calibration.tensors[name]))
    for work in everything:
        factors = work.node.input[:2]
        try:
            _ = set(factors) <= sizes.keys() and multiply_adds(work, sizes)
        except (ValueError, IndexError):
            told = " and ".join(f"{name} {list(sizes[name])}" for name in factors)
            yield f"{work.name} cannot multiply {told} as the calibration saw it: {again}"


def _reason(work: Work, seen: Wiring, calibration: PartCalibration, how: Int8) -> str:
    """Tell why a layer stays float32; "" where it need not."""
    beyond = [name for name in work.tensors if not _spans(calibration.tensors[name].peak)]
    if work.kind == "other":
        return "not a product with a constant float32 matrix or kernel, nor of two tensors"
    if {"scores": not how.scores, "mixes": not how.mixes}.get(work.kind, False):
        return f"{work.kind} of attention were not asked for in int8"
    if beyond:
        peak = calibration.tensors[beyond[0]].peak
        beside = f", beyond the {LEAST:g} to {MOST:g} that int8 takes" if peak else ""
        told = f"{peak:.3g} at most" if peak else "zero"
        return f"its input {beyond[0]} was {told} on all samples{beside}"
    if work.weight and not np.isfinite(seen.array(work.weight)).all():
        return "its weight holds NaN or infinity"
    return ""


def _spans(peak: float) -> bool:
    """Tell whether a tensor of that peak has a step in float32, and sums of squares."""
    return LEAST <= peak <= MOST


def _peaks(
    quantisable: list[Work], statistics: Mapping[str, Statistics], how: Int8
) -> dict[str, float]:
    """Find the range of each tensor that these layers read."""
    read = dict.fromkeys(name for work in quantisable for name in work.tensors)
    return {name: peak_of(statistics[name], how.method) for name in read}


def _results(
    quantisable: list[Work], seen: Wiring, peaks: Mapping[str, float], calibration: PartCalibration
) -> dict[str, float]:
    """Find the range of what each Conv gives.

    What a Relu alone reads is clipped as its result will be: nothing more is lost then. What
    another layer reads has its range already.
    """
    found: dict[str, float] = {}
    for work in quantisable:
        reader = seen.sole_reader(work.name)
        if work.kind != "conv" or work.name in peaks:
            continue
        if reader is not None and reader.op_type == "Relu" and reader.output[0] in peaks:
            found[work.name] = peaks[reader.output[0]]
        elif _spans(calibration.peaks.get(work.name, 0.0)):
            found[work.name] = calibration.peaks[work.name]
    return found
