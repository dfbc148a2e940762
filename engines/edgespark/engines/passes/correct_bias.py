"""Bias correction: what rounding adds to a layer's mean result is taken off its bias.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv
1906.04721, section 4.2. The rounding of the layer's input counts, too: E[x]W - E[Q(x)]Q(W).
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from edgespark.calibration.statistics import Statistics
from edgespark.engines.passes.quantize import rounded, rounded_weight
from edgespark.engines.passes.wiring import bias_of, copied, exchange, wiring
from edgespark.engines.passes.work import works

__all__ = ["correct_bias", "shift"]

Floats = NDArray[np.float32]
TINY = 1e-30


def correct_bias(
    model: onnx.ModelProto,
    statistics: Mapping[str, Statistics],
    layers: Collection[str],
    peaks: Mapping[str, float],
) -> onnx.ModelProto:
    """Change the constant vectors that are added to linear layers which `quantize` is to round.

    Needs: layers and peaks as `quantize` takes them, and the statistics of what they read.
    Gives: a graph of the same nodes. Layers without such an Add, and those whose channels
    calibration could not tell apart, stay as they are. So do Convs: rows do not tell what the
    places of a kernel see together, and a padded border sees less (tried: it did harm).
    """
    made = copied(model)
    for work in works(made.graph):
        if work.kind != "linear" or work.name not in layers:
            continue
        seen, held = wiring(made.graph), statistics[work.tensors[0]]
        add, bias = bias_of(work.node, seen, seen.weights[work.weight].dims[1])
        if add is None or bias is None or not len(held.rows):
            continue
        weight = np.asarray(seen.array(work.weight), np.float32)
        better = bias + shift(weight, held, peaks[work.tensors[0]])
        exchange(made.graph, add, 1 - list(add.input).index(work.name), better)
    return made


def shift(weight: Floats, held: Statistics, peak: float) -> Floats:
    """Return E[x]W - E[Q(x)]Q(W), [out], for a weight [in, out] and a range of its input.

    It is E[x](W - Q(W)), with the mean over all samples, and E[x - Q(x)]Q(W), which the kept rows
    tell. A mean m over few rows is uncertain by its standard error s, and what is uncertain adds an
    error of its own: m is scaled by 1 - (s / m)², which takes off what s explains.
    """
    near = rounded_weight(weight, axis=1)
    lost = (held.rows - rounded(held.rows, peak)) @ near
    mean, doubt = lost.mean(0), lost.var(0) / max(1, len(lost) - 1)
    scale = 1 - np.minimum(doubt, mean * mean) / np.maximum(mean * mean, TINY)
    return np.asarray(held.means @ (weight - near) + mean * scale, np.float32)
