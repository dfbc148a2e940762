"""GPTQ: each weight is rounded so that those after it make up for the error.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323, section 3. What counts is not the error of weights, but that of what a matrix
gives of its inputs x: tr(Δᵀ H Δ), where H is the mean of x xᵀ on data and Δ the error of [in, out].
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from edgespark.engines.quantise import (
    Array,
    Codes,
    Floats,
    Grid,
    Rounding,
    nearest,
    slabs,
    widened,
)
from edgespark.engines.straighten import readers
from edgespark.engines.weight_only import PLAIN, Weights, lower
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision

Moments = NDArray[np.floating]
Doubles = NDArray[np.float64]

DAMPING = 0.01  # of the mean of H's diagonal: as in the paper
STRETCH = 64  # rows whose errors are passed on at once, as in the paper's section 3.3, step 2


def products(
    model: onnx.ModelProto, precision: Precision, weights: Weights = PLAIN
) -> dict[str, int]:
    """Return the tensors that the graph's rounded matrices are multiplied with, and their channels.

    Their second moments are what `rounder` wants. Weights may be absent.
    """
    lowered, forms = lower(model, precision, weights)
    dims = {each.name: each.dims for each in lowered.graph.initializer}
    reads = readers(model.graph)
    return {
        node.input[0]: dims[name][0]
        for name, form in forms.items()
        if form.grid is not None
        for node, _ in reads[name]
    }


def rounder(graph: onnx.GraphProto, moments: Mapping[str, Moments]) -> Callable[[str], Rounding]:
    """Return what rounds the weight of a name by the second moments of what it is multiplied with.

    `moments` are float [in, in] by the name of the tensor, and looked up when a weight is rounded.
    InputError where they lack, or are of another number of channels.
    """
    reads = readers(graph)

    def of(name: str) -> Rounding:
        tensors = list(dict.fromkeys(node.input[0] for node, _ in reads[name]))
        return lambda matrix, grid: rounded(matrix, grid, _joint(moments, tensors, len(matrix)))

    return of


def rounded(matrix: Array, grid: Grid, moments: Moments) -> Codes:
    """Round [in, out] onto the grid: at most the error of `nearest` under these moments [in, in].

    Scales are those of `nearest`. The inputs with the greatest moments come first, while there are
    many left to make up for errors. A column stays rounded plainly where that leaves less error.
    Columns are worked on a few at a time, in float64.
    """
    plain = nearest(matrix, grid)
    codes, scales = plain
    if not np.isfinite(scales).all():
        return plain
    order = np.argsort(-np.diagonal(moments), kind="stable")
    factor = _factor(moments[np.ix_(order, order)])
    made = codes.copy()
    for where, slab in slabs(matrix.T):
        own = codes[:, where], scales[..., where]
        steps = np.broadcast_to(_spread(own[1], grid), own[0].shape)
        found = np.empty_like(own[0])
        found[order] = _passed_on(slab.T[order], steps[order], grid, factor)
        before, after = (error(slab.T, each, grid, moments) for each in (own, (found, own[1])))
        made[:, where] = np.where(after < before, found, own[0])
    return made, scales


def error(matrix: Array, found: Codes, grid: Grid, moments: Moments) -> Doubles:
    """Return what each column adds to the squared error of the product, in the mean: [out]."""
    lost = widened(found, grid) - matrix.astype(np.float64)
    squares: Doubles = np.einsum("io,io->o", lost, moments @ lost)
    return squares


def _factor(moments: Moments) -> Doubles:
    """Return U, upper, of Uᵀ U = (H + damping)⁻¹: row i says how weight i's error is passed on."""
    wide: Doubles = moments.astype(np.float64)
    mean = float(np.trace(wide)) / len(wide)
    wide[np.diag_indices_from(wide)] += DAMPING * mean if mean else 1.0
    # H = R Rᵀ with R upper, of Cholesky's lower factor of H turned round; U is R⁻¹
    turned = np.linalg.cholesky(wide[::-1, ::-1])[::-1, ::-1]
    factor: Doubles = np.triu(np.linalg.inv(turned))
    return factor


def _spread(scales: Floats, grid: Grid) -> Floats:
    return scales.repeat(grid.block, 0) if grid.block else scales


def _passed_on(matrix: Array, steps: Floats, grid: Grid, factor: Doubles) -> NDArray[np.int8]:
    """Round [in, out] row by row, and pass each error on to the rows that follow: the codes."""
    left, wide = matrix.astype(np.float64), steps.astype(np.float64)
    codes = np.empty(left.shape, np.int8)
    for start in range(0, len(left), STRETCH):
        end = min(start + STRETCH, len(left))
        lost = np.empty((end - start, left.shape[1]))
        for i in range(start, end):
            codes[i] = np.clip(np.rint(left[i] / wide[i]), grid.least, grid.most)
            lost[i - start] = (left[i] - codes[i] * wide[i]) / factor[i, i]
            left[i + 1 : end] -= np.outer(factor[i, i + 1 : end], lost[i - start])
        left[end:] -= factor[start:end, end:].T @ lost
    return codes


def _joint(moments: Mapping[str, Moments], tensors: Iterable[str], channels: int) -> Moments:
    """Return the moments of all inputs of a matrix together; InputError as `rounder`."""
    total = np.zeros((channels, channels))
    for tensor in tensors:
        if tensor not in moments:
            raise InputError(f"no moments of {tensor!r}, which the graph's products read: gather")
        found = moments[tensor]
        if found.shape != total.shape:
            raise InputError(
                f"{tensor!r}: got moments {list(found.shape)}; expected those of {channels} "
                "channels: gather them on this graph"
            )
        total += found
    return total
