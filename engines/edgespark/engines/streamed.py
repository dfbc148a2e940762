"""Weights of a graph, written one by one into a file beside it: never two of them at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgespark.engines.absent import is_absent, is_transposed, module_shape, proven
from edgespark.engines.forms import Form, Spec
from edgespark.engines.weight_only import PRECISIONS, lower
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision

Array = NDArray[np.generic]
Source = Callable[[str], Array]
Told = Callable[[str, int], None]

SMALL = 1024  # bytes; what is smaller stands in the graph itself
LARGE = 1 << 16  # bytes; what is as large starts a page, so that it can be mapped
PAGE, WORD = 4096, 64  # bytes


def _silent(_name: str, _bytes: int) -> None:
    """Tell nobody."""


def store(  # noqa: PLR0913 what is read, where it goes, and in which form
    model: onnx.ModelProto,
    source: Source,
    folder: Path,
    location: str,
    precision: Precision,
    *,
    each: Told = _silent,
) -> onnx.ModelProto:
    """Write the absent weights of a graph into the new file `location` of the graph's `folder`.

    Returns the graph that reads them there; `model` stays as it was. `source` gives a parameter by
    its name, as its module has it, in float16 or float32, KeyError where there is none. It may give
    a mapped file, and is done with it before the next one is asked for. `each` is told the name of
    every weight that is written, and its bytes. At most three copies of the largest weight are in
    memory.

    Raises InputError where a weight is missing, or has another shape than the graph's, or cannot
    be held by the precision; CheckError where the graph cannot; OSError where the file is there or
    cannot be written. Nothing is left of a file that was begun.
    """
    made, forms = lower(model, precision)
    with _new(folder / location) as file:
        tensors: list[TensorProto] = []
        for waiting in made.graph.initializer:
            if is_absent(waiting):
                stored = list(_stored(waiting, source, forms[waiting.name], file))
                each(waiting.name, sum(spec.bytes for spec, _ in stored))
                tensors += [tensor for _, tensor in stored]
            else:
                tensors.append(waiting)
        del made.graph.initializer[:]
        made.graph.initializer.extend(tensors)
        return proven(made, PRECISIONS[precision].opset)


def stored_bytes(model: onnx.ModelProto, precision: Precision) -> int:
    """Tell how large the file will be that `store` writes; nothing is read or written."""
    made, forms = lower(model, precision)
    end = 0
    for waiting in filter(is_absent, made.graph.initializer):
        for spec in forms[waiting.name].specs(waiting.name, tuple(waiting.dims)):
            if spec.bytes >= SMALL:
                end = _start(end, spec) + spec.bytes
    return end


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not there yet; nothing is left of it where the block fails."""
    with path.open("xb") as file:
        try:
            yield file
            file.flush()  # the disk may be full now, where it was not before
        except BaseException:
            path.unlink()
            raise


def _start(end: int, spec: Spec) -> int:
    """Place a tensor behind what the file holds."""
    step = PAGE if spec.bytes >= LARGE else WORD
    return -(-end // step) * step


def _stored(
    waiting: TensorProto, source: Source, form: Form, file: BinaryIO
) -> Iterator[tuple[Spec, TensorProto]]:
    """Store one weight: each of its tensors with what the graph says of it."""
    contents = form.encode(_given(waiting, source))
    specs = form.specs(waiting.name, tuple(waiting.dims))
    for spec, content in zip(specs, contents, strict=True):
        if content.dtype.kind == "f" and not np.isfinite(content).all():
            raise InputError(
                f"{waiting.name}: holds NaN, infinity, or more than {spec.name!r} can hold as "
                f"{TensorProto.DataType.Name(spec.kind)}; take another precision or mend it"
            )
        tensor = TensorProto(name=spec.name, data_type=spec.kind, dims=spec.dims)
        if spec.bytes < SMALL:
            tensor.raw_data = content.tobytes()
        else:
            _write(tensor, spec, content, file)
        yield spec, tensor


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
