"""One small tokenizer for each modality: a prepared array becomes tokens of CLIP's width."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgespark.export.models.onellm.config import (
    Patches,
    PointGroups,
    Scan,
    Signal,
    Spectrogram,
    Tokenizing,
)


class Tokenizer(nn.Module):
    """A convolution or a map, the class token in front, and positions."""

    def __init__(self, size: Tokenizing, width: int) -> None:
        """Make the weights; the class token has a position, too."""
        super().__init__()
        self.conv1 = KINDS[type(size)](size, width)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(size.tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """Give float32 [frames, tokens, width]; x has the axes `shape` of its size's record."""
        tokens = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(tokens), 1, -1)
        return torch.cat((first, tokens), 1) + self.positional_embedding


class Frames(nn.Conv2d):
    """A convolution of pictures that takes the frames of one clip, too."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [1, frames, 3, rows, columns], or without the frames, to [frames, width, ...]."""
        return super().forward(x.flatten(0, -4))


class Groups(nn.Conv2d):
    """A map of points, and the greatest value in each group."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [1, groups, neighbours, channels] to [1, width, groups]."""
        return super().forward(x.permute(0, 3, 1, 2)).amax(-1)


class Mapped(nn.Linear):
    """A linear map of one vector to all tokens, each channel's in one run."""

    def __init__(self, voxels: int, tokens: int, width: int) -> None:
        """Make the weights."""
        super().__init__(voxels, tokens * width)
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        """Map [1, 1, voxels] to [1, width, tokens]."""
        return super().forward(x).reshape(len(x), -1, self.tokens)


def _patches(size: Patches, width: int) -> nn.Module:
    return Frames(3, width, size.patch, size.patch, bias=False)


def _spectrogram(size: Spectrogram, width: int) -> nn.Module:
    return nn.Conv2d(1, width, size.kernel, size.stride)


def _points(size: PointGroups, width: int) -> nn.Module:
    return Groups(size.channels, width, 1)


def _signal(size: Signal, width: int) -> nn.Module:
    return nn.Conv1d(size.channels, width, size.kernel, bias=False)


def _scan(size: Scan, width: int) -> nn.Module:
    return Mapped(size.voxels, size.mapped, width)


KINDS: dict[type, Callable[[Any, int], nn.Module]] = {
    Patches: _patches,
    Spectrogram: _spectrogram,
    PointGroups: _points,
    Signal: _signal,
    Scan: _scan,
}
