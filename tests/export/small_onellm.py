"""A small OneLLM: its sizes, and a checkpoint of which every tensor follows from its name."""

import zlib
from dataclasses import replace

import torch
from torch import Tensor

from edgespark.export.models.config import Llama
from edgespark.export.models.onellm.config import (
    ONELLM,
    Clip,
    ClipText,
    Mixture,
    Patches,
    PointGroups,
    Scan,
    Signal,
    Spectrogram,
)
from edgespark.export.models.onellm.names import checkpoint_shapes

PICTURE = Patches(frames=0, size=28, patch=14)
PAIR = replace(PICTURE, frames=2)
SMALL = replace(
    ONELLM,
    name="onellm-small",
    tokenizers={
        "image": PICTURE,
        "video": replace(PICTURE, frames=3),
        "audio": Spectrogram(mels=36, frames=46, kernel=16, stride=10),
        "point": PointGroups(groups=6, neighbours=4, channels=6),
        "rgbd": PAIR,
        "rgbn": PAIR,
        "fmri": Scan(voxels=20, mapped=8),
        "imu": Signal(channels=6, samples=20, kernel=10),
    },
    clip=Clip(width=32, depth=2, heads=2),
    clip_text=ClipText(width=8, context=4, vocabulary=10, joint=6),
    experts=Mixture(count=3, depth=2, heads=4, hidden=48, latents=5),
    llm=Llama(
        vocabulary=40,
        width=24,
        depth=1,
        heads=2,
        hidden=32,
        context=16,
        adapters=(),
        bottleneck=0,
        epsilon=1e-5,
    ),
)
SHAPES = checkpoint_shapes(SMALL)


def tensor(name: str) -> Tensor:
    """Make a tensor of a checkpoint of SMALL, by its name alone."""
    return draw(*SHAPES[name], seed=zlib.crc32(name.encode())) * 0.2


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
