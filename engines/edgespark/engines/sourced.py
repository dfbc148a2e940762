"""A graph without its weights, and what gives them: passes change both, and no weight is read.

A pass that makes a new weight of old ones adds an absent initializer to the graph, and wraps the
source: what makes the weight runs when it is written, and lets go of it before the next one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgespark.engines.absent import absent, is_absent
from edgespark.engines.files import new_file
from edgespark.engines.quantise import packed
from edgespark.runtime.errors import BundleError
from edgespark.runtime.progress import track

__all__ = ["Source", "Sourced", "opened", "sourced", "written"]

Array = NDArray[np.generic]
Source = Callable[[str], Array]

SMALL = 1024  # bytes; what is smaller stays in the graph, and so do vectors: passes look at them
INLINE = 64 << 20  # bytes of all weights; from there on they lie in a file of their own, mapped
PAGE = 4096  # bytes; each weight in that file starts a page
INT4 = (TensorProto.INT4, TensorProto.UINT4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sourced:
    """A graph whose large initializers are absent, and what gives each by its name.

    `source` gives an array of the tensor's dtype and shape, int4 as int8; it may be mapped.
    """

    model: onnx.ModelProto
    source: Source

    def array(self, name: str) -> Array:
        """Return what an initializer holds, absent or not; KeyError for any other tensor."""
        for each in self.model.graph.initializer:
            if each.name == name:
                return self.source(name) if is_absent(each) else _array(each)
        raise KeyError(name)

    def adding(self, makers: Mapping[str, Callable[[], Array]]) -> Source:
        """Return a source that knows these new weights too."""
        return lambda name: makers[name]() if name in makers else self.source(name)


def sourced(model: onnx.ModelProto, folder: Path | None = None) -> Sourced:
    """Take the weights of SMALL bytes or more out of a graph, but for vectors: gives a copy.

    External data is looked for in `folder`, and mapped when it is asked for.
    """
    kept = {each.name: each for each in model.graph.initializer if _is_large(each)}
    made = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph, given = made.graph, model.graph
    graph.name = given.name
    for field in ("node", "input", "output"):
        getattr(graph, field).extend(getattr(given, field))
    for each in given.initializer:
        name = each.name
        waits = absent(name, each.data_type, each.dims) if name in kept else _inside(each, folder)
        graph.initializer.append(waits)
    return Sourced(model=made, source=lambda name: _told(kept[name], folder))


def opened(path: Path) -> Sourced:
    """Read a graph from a file, its external data beside it; BundleError where it is no graph."""
    try:
        model = onnx.load_model(path, load_external_data=False)
        given = sourced(model, path.parent)
        _check(given.model)
    except BundleError:
        raise
    except Exception as error:  # protobuf's own, which has no types
        raise BundleError(str(path), [f"no ONNX graph: {_line(error)}"]) from error
    return given


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check(model: onnx.ModelProto) -> None:
    """Let ONNX check the nodes; weights stand as inputs, since it knows no absent ones."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    named = {each.name for each in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in graph.initializer
        if each.name not in named
    )
    del graph.initializer[:]
    onnx.checker.check_model(bare)


def written(given: Sourced, into: Path) -> tuple[str, ...]:
    """Write the graph into the new file `into`, with all weights that its source gives.

    Large ones go into a file beside it, one at a time: gives that file's name, where there is one.
    FileExistsError where a file is there, OSError where it cannot be written; nothing is left then.
    """
    made = onnx.ModelProto()
    made.CopyFrom(given.model)
    waiting = [each for each in made.graph.initializer if is_absent(each)]
    data = into.with_name(f"{into.name}.data")
    outside = sum(map(_bytes, waiting)) >= INLINE
    with track(waiting, f"write {into.name}", len(waiting)) as shown:
        if not outside:
            for each in shown:
                _fill(each, _content(each, given.source))
            _write(into, made)
            return ()
        with new_file(data) as file:
            for each in shown:
                _append(each, _content(each, given.source), file)
            file.flush()
            _write(into, made)
    return (data.name,)


def _write(path: Path, model: onnx.ModelProto) -> None:
    with new_file(path) as file:
        file.write(model.SerializeToString())


def _append(tensor: TensorProto, content: NDArray[np.uint8], file: BinaryIO) -> None:
    start = -(-file.tell() // PAGE) * PAGE
    file.seek(start)
    file.write(content.data)
    tensor.ClearField("external_data")
    places = {"location": Path(file.name).name, "offset": start, "length": content.size}
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))


def _fill(tensor: TensorProto, content: NDArray[np.uint8]) -> None:
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = content.tobytes()


def _content(waiting: TensorProto, source: Source) -> NDArray[np.uint8]:
    array = source(waiting.name)
    kind, dims = _dtype(waiting), tuple(waiting.dims)
    if array.shape != dims or array.dtype != kind:
        raise ValueError(f"{waiting.name}: made {array.dtype} {array.shape}, said {kind} {dims}")
    laid = packed(array.astype(np.int8)) if waiting.data_type in INT4 else array
    return np.ascontiguousarray(laid).reshape(-1).view(np.uint8)


def _dtype(tensor: TensorProto) -> np.dtype[np.generic]:
    """Return the dtype in which arrays of a tensor come."""
    if tensor.data_type in INT4:
        return np.dtype(np.int8 if tensor.data_type == TensorProto.INT4 else np.uint8)
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))


def _is_large(tensor: TensorProto) -> bool:
    return len(tensor.dims) > 1 and _bytes(tensor) >= SMALL


def _inside(tensor: TensorProto, folder: Path | None) -> TensorProto:
    """Take what lies in a file into the tensor itself."""
    if tensor.data_location != TensorProto.DataLocation.EXTERNAL:
        return tensor
    if folder is None:
        raise ValueError(f"{tensor.name} lies in a file, and no folder was given")
    made = TensorProto()
    made.CopyFrom(tensor)
    _fill(made, _mapped(tensor, folder))
    return made


def _bytes(tensor: TensorProto) -> int:
    bits = 4 if tensor.data_type in INT4 else 8 * _dtype(tensor).itemsize
    return -(-int(np.prod(tensor.dims, dtype=np.int64)) * bits // 8)


def _told(tensor: TensorProto, folder: Path | None) -> Array:
    """Read a tensor; BundleError where what it says of itself does not hold."""
    try:
        return _array(tensor, folder)
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(tensor.name, [f"is no tensor as it says: {error}"]) from error


def _array(tensor: TensorProto, folder: Path | None = None) -> Array:
    """Read a tensor, from a file where it lies in one; int4 comes as int8."""
    if tensor.data_location != TensorProto.DataLocation.EXTERNAL:
        return np.asarray(numpy_helper.to_array(tensor)).astype(_dtype(tensor), copy=False)
    if folder is None:
        raise ValueError(f"{tensor.name} lies in a file, and no folder was given")
    raw = _mapped(tensor, folder)
    if tensor.data_type in INT4:
        return _unpacked(raw, tensor)
    return raw.view(_dtype(tensor)).reshape(tuple(tensor.dims))


def _mapped(tensor: TensorProto, folder: Path) -> NDArray[np.uint8]:
    """Map external data; BundleError where it lies elsewhere, or not there."""
    told = {each.key: each.value for each in tensor.external_data}
    path, start = folder / told.get("location", ""), int(told.get("offset", 0))
    if path.parent != folder or not path.is_file():
        raise BundleError(str(folder), [f"{tensor.name} is to lie in {path.name!r}: no such file"])
    if path.stat().st_size < start + _bytes(tensor):
        raise BundleError(str(path), [f"{tensor.name} ends beyond the file"])
    return np.memmap(path, np.uint8, "r", start, (_bytes(tensor),))


def _unpacked(raw: NDArray[np.uint8], tensor: TensorProto) -> Array:
    """Unpack int4 to int8, two to a byte, the first in the low half."""
    codes = np.empty((raw.size, 2), np.uint8)
    codes[:, 0], codes[:, 1] = raw & 15, raw >> 4
    flat = codes.reshape(-1)[: int(np.prod(tensor.dims, dtype=np.int64))]
    if tensor.data_type == TensorProto.INT4:
        flat = ((flat ^ 8).view(np.int8) - 8).astype(np.int8)
    return flat.reshape(tuple(tensor.dims))
