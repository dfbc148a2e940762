"""AWQ: channels that matter most are scaled up before weights are rounded, and down before that.

Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", arXiv
2306.00978, section 3.2. The rows of a matrix are multiplied by s = m^a, m the mean magnitude of the
input's channels, and what makes the input is divided by s: a norm's weights, or the columns of
another matrix. The strength a is searched by the error of what the matrix gives.

The graph computes the same, but for rounding. Values (v_proj) are not scaled for o_proj: they are
state that others read.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgespark.calibration.statistics import Statistics
from edgespark.engines.absent import is_absent, is_transposed
from edgespark.engines.forms import Dims
from edgespark.engines.passes.wiring import Wiring, wiring
from edgespark.engines.quantise import Grid, nearest, widened
from edgespark.engines.streamed import Source
from edgespark.engines.weight_only import PLAIN, Weights, lower
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision
from edgespark.runtime.progress import track

STRENGTHS = tuple(each / 10 for each in range(11))  # 0 leaves all as it is
COLUMNS = 256  # of a matrix that are looked at: each is rounded by itself
PRODUCT = ("MatMul", 0)  # a node that reads its first factor
LEAST = 1e-3  # of the mean magnitude: quieter channels count as that loud
WORTH = 0.9  # of the error: what gains less moves by chance; without outliers nothing is scaled
Floats = NDArray[np.float32]
Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Matrices that read one tensor alone, and the weights that can be divided to scale it.

    `divided` are vectors, or matrices whose columns are its channels.
    """

    tensor: str
    readers: tuple[str, ...]
    divided: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scales:
    """What the rows of matrices are multiplied by, and weights are divided by, along the last axis.

    By the weights' names, as the graph has them.
    """

    rows: dict[str, Floats] = field(default_factory=dict)
    columns: dict[str, Floats] = field(default_factory=dict)


def scaled(
    source: Source,
    model: onnx.ModelProto,
    statistics: Mapping[str, Statistics],
    precision: Precision,
    weights: Weights = PLAIN,
) -> Source:
    """Wrap what gives the absent weights of a graph, so that they come scaled for that precision.

    `statistics` are those of the tensors that the graph's products read. Every matrix is read once,
    one at a time, before this returns; what is scaled comes as a float32 copy. InputError where
    statistics lack, or are of other channels.
    """
    _, forms = lower(model, precision, weights)
    rounded = {name: form.grid for name, form in forms.items() if form.grid}
    tensors = {each.name: each for each in model.graph.initializer if is_absent(each)}
    found, every = Scales(), list(groups(model.graph, rounded))
    with track(every, "scale weights", len(every)) as shown:
        for group in shown:
            held = _rows(statistics, group.tensor, tensors[group.readers[0]].dims[0])
            matrices = (_rounded(source, tensors[name], rounded[name]) for name in group.readers)
            factors = best(held, matrices)
            found.rows.update(dict.fromkeys(group.readers, factors))
            found.columns.update(dict.fromkeys(group.divided, factors))
    return lambda name: _applied(source(name), tensors[name], found)


def groups(graph: onnx.GraphProto, rounded: Container[str]) -> Iterator[Group]:
    """Find the tensors that only products with `rounded` matrices read, and that can be scaled."""
    wires = wiring(graph)
    for tensor, reads in wires.readers.items():
        names = tuple(node.input[1] for node, place in reads if (node.op_type, place) == PRODUCT)
        alone = len(names) == len(reads) and tensor not in wires.outputs
        divided = _divided(tensor, wires) if alone and all(map(rounded.__contains__, names)) else ()
        channels = {wires.weights[name].dims[-1] for name in divided}
        if divided and channels == {wires.weights[names[0]].dims[0]}:
            yield Group(tensor=tensor, readers=names, divided=divided)


def _divided(tensor: str, wires: Wiring) -> tuple[str, ...]:
    """Name the weights to divide so that a tensor comes divided; none where it cannot be."""
    maker = wires.makers.get(tensor)
    if maker is not None and maker.op_type == "LayerNormalization":
        return _own(maker.input[1:], wires)
    if maker is None or maker.op_type != "Mul":
        return ()
    given = [each for each in maker.input if each in wires.weights]
    if given:
        return _own(given, wires)
    return next(filter(None, (_linear(each, wires) for each in maker.input)), ())


def _linear(tensor: str, wires: Wiring) -> tuple[str, ...]:
    """Name the weight, and the bias, of a linear layer that gives a tensor to one reader alone."""
    maker = wires.makers.get(tensor)
    if maker is None or wires.sole_reader(tensor) is None:
        return ()
    if maker.op_type == "MatMul":
        return _own(maker.input[1:], wires)
    biases = [each for each in maker.input if each in wires.weights]
    if maker.op_type != "Add" or len(biases) != 1:
        return ()
    (product,) = (each for each in maker.input if each not in biases)
    weight, bias = _linear(product, wires), _own(biases, wires)
    return (*weight, *bias) if weight and bias and len(weight) == 1 else ()


def _own(names: Sequence[str], wires: Wiring) -> tuple[str, ...]:
    """Give names of absent weights that are read once each; nothing where one is not so."""
    fit = all(
        name in wires.weights and is_absent(wires.weights[name]) and wires.sole_reader(name)
        for name in names
    )
    return tuple(names) if fit else ()


def _rows(statistics: Mapping[str, Statistics], tensor: str, channels: int) -> Floats:
    """Return the kept rows of a tensor [rows, channels]."""
    if tensor not in statistics:
        raise InputError(f"no statistics of {tensor!r}, which the graph's products read: gather")
    rows = statistics[tensor].rows
    if rows.shape[-1] != channels or not len(rows):
        raise InputError(
            f"{tensor!r}: got statistics of {list(rows.shape)} rows and channels; expected some "
            f"rows of {channels} channels: gather them on this graph"
        )
    return rows


def _rounded(
    source: Source, weight: TensorProto, grid: Callable[[Dims], Grid]
) -> tuple[Floats, Grid]:
    """Read some columns of a matrix, as the graph has it [in, out], and give its grid."""
    array = source(weight.name)
    matrix = array.T if is_transposed(weight) else array
    some: Floats = matrix[:, :: -(-matrix.shape[1] // COLUMNS)].astype(np.float32)
    return some, grid(matrix.shape)


def best(rows: Floats, matrices: Iterable[tuple[Floats, Grid]]) -> Floats:
    """Search the factors of channels with the least squared error of what matrices give of rows.

    rows [n, in], matrices [in, some columns], each looked at once. Gives float32 [in], above zero;
    all ones where nothing is worth it.
    """
    magnitude = np.abs(rows).mean(0, dtype=np.float64)
    magnitude = np.maximum(magnitude, LEAST * magnitude.mean())
    loud = magnitude if magnitude.all() else np.ones_like(magnitude)
    even = loud / np.exp(np.log(loud).mean())
    choices: list[Floats] = [(even**strength).astype(np.float32) for strength in STRENGTHS]
    errors = np.zeros(len(choices))
    for matrix, grid in matrices:
        for place, factors in enumerate(choices):
            near = nearest(matrix * factors[:, None], grid)
            wide = widened(near, grid) / factors[:, None]
            errors[place] += float(np.square(rows @ (wide - matrix), dtype=np.float64).sum())
    least = int(errors.argmin())
    return choices[least if errors[least] < WORTH * errors[0] else 0]


def _applied(array: Array, weight: TensorProto, found: Scales) -> Array:
    """Scale a weight as its module has it: the graph's last axis may be its first."""
    rows, columns = found.rows.get(weight.name), found.columns.get(weight.name)
    if rows is None and columns is None:
        return array
    made = array.astype(np.float32)
    turned = made.T if is_transposed(weight) else made
    if rows is not None:
        turned *= rows[:, None]
    if columns is not None:
        turned /= columns
    return made
