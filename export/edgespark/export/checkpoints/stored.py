"""A checkpoint as it lies on disk: one file or a folder of shards, read in place."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgespark.export.checkpoints.parallel import Pieces, is_parallel, joined
from edgespark.export.checkpoints.pickles import read_pickle
from edgespark.export.checkpoints.safe import DTYPES, read_safetensors
from edgespark.runtime.errors import InputError, MissingInput

PREFIX = "llma."  # what OneLLM's code puts before every name
READERS = {
    ".safetensors": read_safetensors,
    ".pth": read_pickle,
    ".pt": read_pickle,
    ".bin": read_pickle,
}
LEDGER = "conversion.json"
INDEX = "*.index.json"
POINTER = b"version https://git-lfs"

Files = Mapping[Path, Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An opened checkpoint: shapes and dtypes by name, and each tensor when it is asked for.

    Names are without PREFIX. `fingerprint` changes when a file's name, size or time of change does.
    """

    path: Path
    pieces: Mapping[str, Pieces]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    fingerprint: str

    def tensor(self, name: str) -> Tensor:
        """Return a tensor in the checkpoint's own dtype (float16, bfloat16 or float32).

        It is a view of the mapped file: its pages come when they are touched and go when memory is
        short. Only one that lies in several files is copied. KeyError where there is none.
        """
        return self.pieces[name].whole()


def open_checkpoint(path: Path) -> Stored:
    """Open a file (.safetensors, .pth, .pt, .bin) or a folder of such; no tensor is read yet.

    In a folder each tensor stands in one file, or the files are the ranks of model-parallel
    training (`consolidated.00.pth` and so on). MissingInput where a file is absent, InputError
    where one is broken, cut off, holds code or anything but tensors, or a tensor stands twice.
    """
    try:
        paths = _files(path)
        files = {each: _read(each) for each in paths}
        fingerprint = _fingerprint(paths)
    except MissingInput:  # an OSError too
        raise
    except OSError as error:
        raise InputError(f"checkpoint {path}: {error.strerror or error}") from error
    pieces = _plain(joined(files) if is_parallel(files) else _merged(files))
    _check_dtypes(path, pieces)
    return Stored(
        path=path,
        pieces=pieces,
        shapes={name: each.shape for name, each in pieces.items()},
        dtypes={name: each.tensors[0].dtype for name, each in pieces.items()},
        fingerprint=fingerprint,
    )


def _files(path: Path) -> list[Path]:
    known = ", ".join(READERS)
    if path.is_file():
        if path.suffix not in READERS:
            raise InputError(f"checkpoint {path}: expected a {known} file, or a folder of them")
        return [path]
    if not path.is_dir():
        raise MissingInput(f"checkpoint {path}: no such file or folder")
    paths = sorted(each for each in path.iterdir() if each.suffix in READERS and each.is_file())
    if not paths:
        raise MissingInput(f"checkpoint {path}: no weights, that is no {known} file")
    _check_whole(path, paths)
    return paths


def _check_whole(folder: Path, paths: list[Path]) -> None:
    """Refuse a folder that lacks shards: those that an index names, or a conversion would write."""
    indices = sorted(folder.glob(INDEX))
    if (folder / LEDGER).is_file() and not indices:
        raise InputError(f"checkpoint {folder}: its conversion was interrupted; run it again")
    named = {name for index in indices for name in _indexed(index)}
    if absent := sorted(named - {each.name for each in paths}):
        raise MissingInput(f"checkpoint {folder}: its index names absent files: {absent}")


def _indexed(index: Path) -> Iterator[str]:
    try:
        files = json.loads(index.read_bytes())["weight_map"].values()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{index}: no index of tensors, that is no weight_map") from error
    yield from map(str, files)


def _read(path: Path) -> Mapping[str, Tensor]:
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise InputError(f"{path}: a git-lfs pointer, not the file; run `git lfs pull`")
    return READERS[path.suffix](path)


def _merged(files: Files) -> dict[str, Pieces]:
    first: dict[str, Path] = {}
    pieces: dict[str, Pieces] = {}
    for path, tensors in files.items():
        if twice := sorted(tensors.keys() & pieces.keys()):
            among = ", ".join(sorted({first[name].name for name in twice}))
            raise InputError(f"{path}: tensors that stand in {among} too: {', '.join(twice)}")
        first |= dict.fromkeys(tensors, path)
        pieces |= {name: Pieces(tensors=(each,)) for name, each in tensors.items()}
    return pieces


def _plain(pieces: dict[str, Pieces]) -> dict[str, Pieces]:
    if not all(name.startswith(PREFIX) for name in pieces):
        return pieces
    return {name.removeprefix(PREFIX): each for name, each in pieces.items()}


def _check_dtypes(path: Path, pieces: Mapping[str, Pieces]) -> None:
    dtypes = {name: each.tensors[0].dtype for name, each in pieces.items()}
    wrong = [f"{name} is {dtype}" for name, dtype in dtypes.items() if dtype not in DTYPES]
    if wrong:
        known = ", ".join(str(each) for each in DTYPES)
        raise InputError(f"checkpoint {path}: expected {known}; {'; '.join(wrong)}")


def _fingerprint(paths: list[Path]) -> str:
    stats = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in paths]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()
