"""A checkpoint as it lies on disk: one file or a folder of shards, read in place."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgespark.export.checkpoints.folding import lines
from edgespark.export.checkpoints.parallel import Pieces, is_parallel, joined
from edgespark.export.checkpoints.pickles import read_pickle
from edgespark.export.checkpoints.safe import DTYPES, read_safetensors
from edgespark.export.checkpoints.shards import checkpoint_files
from edgespark.export.checkpoints.steady import State, present, state
from edgespark.runtime.errors import InputError

PREFIX = "llma."  # what OneLLM's code puts before every name
READERS = {
    ".safetensors": read_safetensors,
    ".pth": read_pickle,
    ".pt": read_pickle,
    ".bin": read_pickle,
}
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
    states: tuple[State, ...]

    def check(self) -> None:
        """Raise InputError where a file has changed since the checkpoint was opened."""
        for each in self.states:
            each.check()

    def tensor(self, name: str) -> Tensor:
        """Return a tensor in the checkpoint's own dtype (float16, bfloat16 or float32).

        It is a view of the mapped file: its pages come when they are touched and go when memory is
        short. Only one that lies in several files is copied. KeyError where there is none;
        InputError where a file has changed since the checkpoint was opened, or cannot be read.
        """
        pieces = self.pieces[name]
        self.check()
        for each in pieces.tensors:
            present(name, each)
        return pieces.whole()


def open_checkpoint(path: Path) -> Stored:
    """Open a file (.safetensors, .pth, .pt, .bin) or a folder of such; no tensor is read yet.

    In a folder each tensor stands in one file, or the files are the ranks of model-parallel
    training (`consolidated.00.pth` and so on). MissingInput where a file is absent, InputError
    where one is broken, cut off, holds code or anything but tensors, or a tensor stands twice.
    """
    try:
        paths = checkpoint_files(path, READERS)
        states = tuple(map(state, paths))
        files = {each: _read(each) for each in paths}
    except InputError:  # MissingInput is an OSError too
        raise
    except OSError as error:
        raise InputError(f"checkpoint {path}: {error.strerror or error}") from error
    pieces = _plain(joined(files) if is_parallel(files) else _merged(files))
    _check_dtypes(path, pieces)
    stored = Stored(
        path=path,
        pieces=pieces,
        shapes={name: each.shape for name, each in pieces.items()},
        dtypes={name: each.tensors[0].dtype for name, each in pieces.items()},
        fingerprint=_fingerprint(states),
        states=states,
    )
    stored.check()
    return stored


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
            raise InputError(
                f"{path}: tensors that stand in {among} too: {', '.join(lines(twice))}; keep "
                "one of the files"
            )
        first |= dict.fromkeys(tensors, path)
        pieces |= {name: Pieces(tensors=(each,)) for name, each in tensors.items()}
    return pieces


def _plain(pieces: dict[str, Pieces]) -> dict[str, Pieces]:
    if not all(name.startswith(PREFIX) for name in pieces):
        return pieces
    return {name.removeprefix(PREFIX): each for name, each in pieces.items()}


def _check_dtypes(path: Path, pieces: Mapping[str, Pieces]) -> None:
    dtypes = {name: each.tensors[0].dtype for name, each in pieces.items()}
    known = ", ".join(str(each) for each in DTYPES)
    told = [
        f"{kind}: {', '.join(lines([name for name, each in dtypes.items() if each == kind]))}"
        for kind in dict.fromkeys(dtypes.values())
        if kind not in DTYPES
    ]
    if told:
        raise InputError(f"checkpoint {path}: expected {known}; got {'; '.join(told)}")


def _fingerprint(states: tuple[State, ...]) -> str:
    told = [(each.path.name, each.size, each.changed) for each in states]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
