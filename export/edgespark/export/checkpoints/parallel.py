"""Checkpoints of model-parallel training: every file holds a part of every tensor.

Which axis is cut follows from the layer (facebookresearch/fairscale, nn/model_parallel/layers.py):
ColumnParallelLinear is cut along its outputs, RowParallelLinear along its inputs, and
ParallelEmbedding along its width. What is not in AXES is whole in every file.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgespark.export.checkpoints.folding import lines
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput

AXES = {
    "tok_embeddings": 1,
    "output": 0,
    "wq": 0,
    "wk": 0,
    "wv": 0,
    "wo": 1,
    "w1": 0,
    "w2": 1,
    "w3": 0,
}
"""The axis that is cut, by the layer's name in LLaMA's code."""
CORNER = 8  # numbers along each axis that are compared
RANK = re.compile(r"consolidated\.(\d+)(?:-of-(\d+))?\.pth")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """A tensor as it lies on disk: in one piece, or cut along `axis` into several."""

    tensors: tuple[Tensor, ...]
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        shape = list(self.tensors[0].shape)
        if len(self.tensors) > 1:
            shape[self.axis] = sum(each.shape[self.axis] for each in self.tensors)
        return tuple(shape)

    def whole(self) -> Tensor:
        """Return the tensor: a view of the file, or a copy where it is in several pieces."""
        return self.tensors[0] if len(self.tensors) == 1 else torch.cat(self.tensors, self.axis)


def is_parallel(files: Mapping[Path, Mapping[str, Tensor]]) -> bool:
    """Tell whether these are the ranks of one model: named so, and all with the same tensors."""
    named = all(RANK.fullmatch(path.name) for path in files)
    names = [set(tensors) for tensors in files.values()]
    return named and len(files) > 1 and all(each == names[0] for each in names)


def joined(files: Mapping[Path, Mapping[str, Tensor]]) -> dict[str, Pieces]:
    """Join the ranks' tensors, given in order; MissingInput where a rank is not there.

    InputError lists the tensors that differ from rank to rank in shape or dtype.
    """
    paths, ranks = list(files), list(files.values())
    check_ranks(paths)
    cut = {name: tuple(rank[name] for rank in ranks) for name in ranks[0]}
    if uneven := [name for name, each in cut.items() if len(set(map(_kind, each))) > 1]:
        told = ", ".join(lines(uneven))
        raise InputError(f"{paths[0].parent}: shape or dtype differs from file to file: {told}")
    pieces = {name: _pieces(name, each) for name, each in cut.items()}
    _tell_unlike(paths, [name for name in cut if _unlike(pieces[name], cut[name])])
    return pieces


def _unlike(pieces: Pieces, ranks: tuple[Tensor, ...]) -> bool:
    """Tell whether what is whole in each rank differs from rank to rank, in its first numbers."""
    first, *rest = (each[tuple(slice(0, CORNER) for _ in each.shape)] for each in ranks)
    return len(pieces.tensors) == 1 and not all(torch.equal(first, each) for each in rest)


def _tell_unlike(paths: list[Path], names: list[str]) -> None:
    if names:
        text = (
            f"{paths[0].parent}: {len(names)} tensors that each file has whole differ from file to "
            f"file, and those of {paths[0].name} are taken: {', '.join(lines(names))}"
        )
        warnings.warn(text, EdgesparkWarning, stacklevel=4)


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _pieces(name: str, tensors: tuple[Tensor, ...]) -> Pieces:
    axis = AXES.get(name.removesuffix(".weight").rpartition(".")[2])
    if axis is None or axis >= tensors[0].ndim:
        return Pieces(tensors=tensors[:1])
    return Pieces(tensors=tensors, axis=axis)


def check_ranks(paths: list[Path]) -> None:
    """Raise MissingInput where a rank is absent from these files, all of them named by RANK."""
    found = [RANK.fullmatch(path.name) for path in paths]
    ranks = {int(each[1]) for each in found if each}
    world = max((int(each[2]) for each in found if each and each[2]), default=len(paths))
    if absent := sorted(set(range(world)) - ranks):
        told = ", ".join(f"{rank:02d}" for rank in absent)
        raise MissingInput(f"{paths[0].parent}: the parts of rank {told} of {world} are not there")
