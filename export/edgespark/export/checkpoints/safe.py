"""Tensors out of .safetensors files, mapped into memory; and such files, written as a stream.

The format: https://github.com/huggingface/safetensors#format (eight bytes, little-endian, with the
length of the header; the header, JSON, filled up with spaces; then the tensors without gaps).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgespark.runtime.errors import InputError

DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
"""What a checkpoint may hold, by torch's names and the format's."""
LENGTH = 8  # bytes: that of the header, at the beginning
ALIGNED = 8  # bytes: where the first tensor starts


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One tensor of a file to be written: dtype is one of DTYPES."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return prod(self.shape) * self.dtype.itemsize


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors by name, as views of the file; InputError where it is none, or cut off."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, TypeError) as error:  # TypeError: 2 ** 63 rows
        first = str(error).partition("\n")[0]
        raise InputError(f"{path}: no whole safetensors file: {first}") from error
    _check_once(path)
    return tensors


def _check_once(path: Path) -> None:
    """Refuse a header that names a tensor twice: the format forbids it, its reader does not."""
    with path.open("rb") as file:
        text = file.read(int.from_bytes(file.read(LENGTH), "little"))
    names: list[str] = []

    def listed(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object is the last to end

    json.loads(text, object_pairs_hook=listed)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise InputError(f"{path}: its header names {twice[0]!r} twice; copy it anew")


def header(tensors: Iterable[Planned]) -> bytes:
    """Return what stands before the tensors, which follow in the order given."""
    entries: dict[str, Mapping[str, object]] = {"__metadata__": {"format": "pt"}}
    start = 0
    for each in tensors:
        end = start + each.bytes
        shape, dtype = list(each.shape), DTYPES[each.dtype]
        entries[each.name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(8, "little") + text


def write_tensors(file: BinaryIO, tensors: Iterable[Tensor]) -> Iterator[int]:
    """Write the tensors' bytes one behind the other; yield the size of each when it is written.

    Only a tensor whose numbers do not lie in one piece is copied, and only while it is written.
    """
    for each in tensors:
        flat = each.contiguous().reshape(-1).view(torch.uint8)
        file.write(flat.numpy().data)
        yield flat.numel()
