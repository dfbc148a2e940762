"""Checkpoints of model-parallel training: every file holds a part of every tensor.

Which axis is cut follows from the layer (facebookresearch/fairscale, nn/model_parallel/layers.py):
ColumnParallelLinear is cut along its outputs, RowParallelLinear along its inputs, and
ParallelEmbedding along its width. What is not in AXES is whole in every file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgespark.runtime.errors import InputError, MissingInput

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
    _check_ranks(paths)
    cut = {name: tuple(rank[name] for rank in ranks) for name in ranks[0]}
    if uneven := [name for name, each in cut.items() if len(set(map(_kind, each))) > 1]:
        told = ", ".join(uneven)
        raise InputError(f"{paths[0].parent}: shape or dtype differs from file to file: {told}")
    return {name: _pieces(name, each) for name, each in cut.items()}


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _pieces(name: str, tensors: tuple[Tensor, ...]) -> Pieces:
    axis = AXES.get(name.removesuffix(".weight").rpartition(".")[2])
    if axis is None or axis >= tensors[0].ndim:
        return Pieces(tensors=tensors[:1])
    return Pieces(tensors=tensors, axis=axis)


def _check_ranks(paths: list[Path]) -> None:
    found = [RANK.fullmatch(path.name) for path in paths]
    ranks = {int(each[1]) for each in found if each}
    world = max((int(each[2]) for each in found if each and each[2]), default=len(paths))
    if absent := sorted(set(range(world)) - ranks):
        told = ", ".join(f"{rank:02d}" for rank in absent)
        raise MissingInput(f"{paths[0].parent}: the parts of rank {told} of {world} are not there")
