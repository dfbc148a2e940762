"""Tensors out of files by `torch.save`, mapped into memory; no code of a pickle ever runs.

Such a file is a zip archive with every tensor's bytes in it, uncompressed, and a pickle that says
what they are. A pickle is a program: torch's own restricted reader (`weights_only`) takes those
that do nothing but build tensors.
"""

import pickle
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgespark.export.checkpoints.archive import SAVE_AGAIN, check_archive
from edgespark.runtime.errors import InputError

WRAPPER = "model"  # what some trainers keep the tensors under, beside the optimiser's state
ZIP = b"PK\x03\x04"
HEAD = 14  # bytes: the longest of the beginnings below
NOT_MAPPABLE = {  # how other files begin, and what is to be said of them
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19": (
        "written by torch before 1.6, in a layout that cannot be read in place; load it once with "
        "torch.load(…, weights_only=True) and torch.save it again"
    ),
    b"\x80": (
        "a bare pickle, not a file by torch.save; a pickle is a program, and nothing of it was run"
    ),
}


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors by name, as views of the file; they take no memory of their own.

    Accepts {"model": tensors by name} too. InputError where the file is cut off, compressed, in
    the layout before torch 1.6, holds code, or holds anything but tensors: all such are listed.
    OSError where it cannot be read.
    """
    records = _records(path)
    value = _loaded(path)
    if isinstance(value, Mapping) and isinstance(value.get(WRAPPER), Mapping):
        value = value[WRAPPER]
    if not isinstance(value, Mapping):
        raise InputError(f"{path}: holds a {type(value).__name__}; expected tensors by name")
    if problems := list(_problems(value)):
        raise InputError(f"{path}: expected tensors alone: {'; '.join(problems)}; {SAVE_AGAIN}")
    tensors = {name: each.detach() for name, each in value.items()}
    _check_sizes(path, tensors, records)
    return tensors


def _records(path: Path) -> Counter[int]:
    """Return how many records there are of each size, once the file is known for an archive."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.startswith(ZIP):
        raise InputError(f"{path}: {_told(head)}")
    return check_archive(path)


def _told(head: bytes) -> str:
    unknown = f"no checkpoint by torch.save: it begins with {head!r}" if head else "is empty"
    return next((text for each, text in NOT_MAPPABLE.items() if head.startswith(each)), unknown)


def _loaded(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_refused(str(error))}") from error
    except Exception as error:  # the unpickler fails in any way that a broken stream leads to
        first = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: no checkpoint of tensors alone: {_mapping(first)}") from error


def _refused(text: str) -> str:
    if name := re.search(r"GLOBAL (\S+)", text):
        return (
            f"the pickle calls for {name[1]}, which is code and no tensor; nothing of it was run. "
            f"Where the file comes from, {SAVE_AGAIN}"
        )
    reason = text.partition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
    return f"no pickle of tensors alone: {reason or 'broken'}; {SAVE_AGAIN}"


def _mapping(reason: str) -> str:
    """Add what to do where the kernel promises no more memory than there is, mapped files too."""
    if "Cannot allocate memory" not in reason:
        return reason
    return (
        f"{reason}. The file is larger than memory and swap together, and this system maps no such "
        "file: add swap, or run `sysctl vm.overcommit_memory=1`"
    )


def _problems(values: Mapping[object, object]) -> Iterator[str]:
    for name, each in values.items():
        if not isinstance(name, str) or not isinstance(each, Tensor):
            yield f"{name!r} is a {type(each).__name__}"
        elif not _plain(each):
            yield f"{name!r} is a tensor without plain numbers ({each.layout}, {each.device})"


def _plain(tensor: Tensor) -> bool:
    """Tell whether its numbers stand in memory as they are."""
    strided = tensor.layout is torch.strided and not tensor.is_nested
    return strided and tensor.device.type == "cpu" and not (tensor.is_neg() or tensor.is_conj())


def _check_sizes(path: Path, tensors: Mapping[str, Tensor], records: Counter[int]) -> None:
    """Refuse a tensor whose numbers would reach into what stands behind its record."""
    storages = {name: each.untyped_storage() for name, each in tensors.items()}
    sizes = {each.data_ptr(): each.nbytes() for each in storages.values() if each.nbytes()}
    if beyond := Counter(sizes.values()) - records:
        wrong = [name for name, each in storages.items() if each.nbytes() in beyond]
        raise InputError(
            f"{path}: broken: its pickle gives records other sizes than they have, as that of "
            f"{wrong[0]!r}; copy it anew"
        )
