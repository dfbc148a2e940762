"""A file as `torch.save` writes it, made tensor by tensor in bounded memory.

The layout: torch/serialization.py (data.pkl, and data/N with the bytes of the N-th storage) and
caffe2/serialize/inline_container.cc (every record starts at a multiple of 64 bytes).
"""

import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path

import torch

ALIGNED = 64  # bytes
LOCAL_HEADER = struct.calcsize("<4s5H3L2H")
PADDING = 0x4246  # "FB": the id of the extra field that torch fills up with
EXTRA = struct.calcsize("<2H")
ROOT = "archive"
STORAGES = {
    torch.float16: torch.HalfStorage,
    torch.bfloat16: torch.BFloat16Storage,
    torch.float32: torch.FloatStorage,
}
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """Pickles as a tensor; there is none."""

    storage: Storage
    shape: Shape

    def __reduce__(self) -> tuple[object, ...]:
        strides = tuple(prod(self.shape[at + 1 :]) for at in range(len(self.shape)))
        hooks: OrderedDict[str, object] = OrderedDict()
        rebuilt = (self.storage, 0, self.shape, strides, False, hooks)
        return torch._utils._rebuild_tensor_v2, rebuilt


class Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> tuple[object, ...] | None:
        if not isinstance(value, Storage):
            return None
        return ("storage", STORAGES[value.dtype], value.key, "cpu", value.count)


def write(
    path: Path,
    shapes: Mapping[str, Shape],
    dtype: torch.dtype,
    contents: Iterable[Iterable[memoryview]],
) -> None:
    """Write tensors of these shapes; `contents` gives the bytes of each, piece by piece."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, "data.pkl", [_described(shapes, dtype)])
        _record(archive, "byteorder", [sys.byteorder.encode()])
        for key, content in enumerate(contents):
            _record(archive, f"data/{key}", content)
        _record(archive, "version", [b"3\n"])


def _described(shapes: Mapping[str, Shape], dtype: torch.dtype) -> bytes:
    values = {}
    for key, (name, shape) in enumerate(shapes.items()):
        storage = Storage(key=str(key), dtype=dtype, count=prod(shape))
        values[name] = Described(storage=storage, shape=shape)
    stream = BytesIO()
    Pickler(stream, protocol=2).dump(values)
    return stream.getvalue()


def _record(archive: zipfile.ZipFile, name: str, content: Iterable[bytes | memoryview]) -> None:
    entry = zipfile.ZipInfo(f"{ROOT}/{name}")
    entry.compress_type = zipfile.ZIP_STORED
    start = archive.start_dir + LOCAL_HEADER + len(entry.filename) + EXTRA
    filling = -start % ALIGNED
    entry.extra = struct.pack("<2H", PADDING, filling) + b"Z" * filling
    with archive.open(entry, "w") as record:
        for piece in content:
            record.write(piece)


@contextmanager
def moved_when_whole(path: Path) -> Iterator[Path]:
    """Give a place beside the file to write to, which takes the file's name in the end."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
