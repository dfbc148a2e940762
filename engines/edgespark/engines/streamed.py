"""Weights of a graph, written one by one into a file beside it: never two of them at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgespark.engines.absent import is_absent, is_transposed, module_shape, proven
from edgespark.engines.files import new_file
from edgespark.engines.forms import Form, Spec
from edgespark.engines.quantise import Rounding, nearest
from edgespark.engines.weight_only import PRECISIONS, Weights, lower
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision
from edgespark.runtime.progress import track

Array = NDArray[np.generic]
Source = Callable[[str], Array]

SMALL = 1024  # bytes; what is smaller stands in the graph itself
LARGE = 1 << 16  # bytes; what is as large starts a page, so that it can be mapped
PAGE, WORD = 4096, 64  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """The precision of a graph's weights, how integers are made, and what rounds each by name."""

    precision: Precision
    weights: Weights = field(default_factory=Weights)
    rounding: Callable[[str], Rounding] = lambda _: nearest


def store(
    model: onnx.ModelProto, source: Source, folder: Path, location: str, how: Precision | How
) -> onnx.ModelProto:
    """Write the absent weights of a graph into the new file `location` of the graph's `folder`.

    Returns the graph that reads them there; `model` stays as it was. Integers are rounded plainly
    where `how` is no more than a precision. `source` gives a parameter by
    its name, as its module has it, in float16 or float32, KeyError where there is none. It may give
    a mapped file, and is done with it before the next one is asked for. At most three copies of the
    largest weight are in memory. A progress bar counts the weights.

    Raises InputError where a weight is missing, or has another shape than the graph's, or cannot
    be held by the precision; CheckError where the graph cannot; OSError where the file is there or
    cannot be written. Nothing is left of a file that was begun.
    """
    how = how if isinstance(how, How) else How(precision=how)
    made, forms = lower(model, how.precision, how.weights)
    tensors: list[TensorProto] = []
    before = list(made.graph.initializer)
    with (
        new_file(folder / location) as file,
        track(before, f"write {location}", len(before)) as each,
    ):
        for waiting in each:
            if is_absent(waiting):
                form = forms[waiting.name]
                tensors += _stored(waiting, source, form, how.rounding, file)
            else:
                tensors.append(waiting)
        del made.graph.initializer[:]
        made.graph.initializer.extend(tensors)
        return proven(made, PRECISIONS[how.precision].opset)


def _start(end: int, spec: Spec) -> int:
    """Place a tensor behind what the file holds."""
    step = PAGE if spec.bytes >= LARGE else WORD
    return -(-end // step) * step


def _stored(
    waiting: TensorProto,
    source: Source,
    form: Form,
    rounding: Callable[[str], Rounding],
    file: BinaryIO,
) -> Iterator[TensorProto]:
    """Store one weight: give what the graph says of each of its tensors."""
    array = _given(waiting, source)
    contents = form.encode(array, rounding(waiting.name))
    specs = form.specs(waiting.name, tuple(waiting.dims))
    for spec, content in zip(specs, contents, strict=True):
        if content.dtype.kind == "f" and not np.isfinite(content).all():
            raise InputError(f"{Path(file.name).name}: {waiting.name} {_unfit(array, spec)}")
        tensor = TensorProto(name=spec.name, data_type=spec.kind, dims=spec.dims)
        if spec.bytes < SMALL:
            tensor.raw_data = content.tobytes()
        else:
            _write(tensor, spec, content, file)
        yield tensor


def _unfit(array: Array, spec: Spec) -> str:
    """Tell why an array cannot be stored."""
    if not np.isfinite(array).all():
        return "holds NaN or infinity; mend the checkpoint"
    kind = TensorProto.DataType.Name(spec.kind)
    return f"holds more than {spec.name!r} can hold as {kind}; take another precision"


def _given(waiting: TensorProto, source: Source) -> Array:
    """Ask for a weight, and give it as the graph has it."""
    try:
        array = source(waiting.name)
    except KeyError as error:
        raise InputError(f"the graph needs {waiting.name!r}, which the weights lack") from error
    wanted = module_shape(waiting)
    if array.shape != wanted or array.dtype not in (np.float16, np.float32):
        raise InputError(
            f"{waiting.name}: got {array.dtype} {list(array.shape)}; expected float16 or float32 "
            f"{list(wanted)}"
        )
    return array.T if is_transposed(waiting) else array


def _write(tensor: TensorProto, spec: Spec, content: Array, file: BinaryIO) -> None:
    start = _start(file.tell(), spec)
    file.seek(start)
    file.write(content.data)
    tensor.data_location = TensorProto.DataLocation.EXTERNAL
    for key, value in (
        ("location", Path(file.name).name),
        ("offset", str(start)),
        ("length", str(spec.bytes)),
    ):
        tensor.external_data.add(key=key, value=value)
