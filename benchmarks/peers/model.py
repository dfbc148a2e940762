"""CLIP's ViT-L/14 with random weights, as the export traces it, and pictures for it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgespark.export.models.onellm.clip import Trunk
from edgespark.export.models.onellm.config import PICTURE, Clip
from edgespark.export.models.onellm.tokenizers import Tokenizer
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import Axis, Port

WIDTH, HEADS = 1024, 16
COARSE = 14  # pixels from one place to the next of what a picture shows


def encoder(depth: int) -> nn.Module:
    """Make patches and blocks; the weights are drawn so that tensors keep their size."""
    torch.manual_seed(0)
    trunk = Trunk(Clip(width=WIDTH, depth=depth, heads=HEADS))
    made = (
        nn.Sequential(Tokenizer(PICTURE, WIDTH), trunk).eval().requires_grad_(requires_grad=False)
    )
    for name, each in made.named_parameters():
        if each.ndim > 1:
            nn.init.normal_(each, std=each[0].numel() ** -0.5)
        elif name.endswith(("bias", "class_embedding")):
            nn.init.normal_(each, std=0.02)
    return made


def stage(depth: int) -> Stage:
    """Make the encoder as a stage that can be traced."""
    sides = {"batch": 1, "bands": 3, "rows": PICTURE.size, "columns": PICTURE.size}
    return Stage(
        name="clip",
        role="encoder",
        module=encoder(depth),
        inputs=(_port("pixels", sides),),
        outputs=(_port("tokens", {"batch": 1, "tokens": PICTURE.tokens, "width": WIDTH}),),
        probes=({"pixels": torch.from_numpy(pictures(1, seed=2)[0])},),
    )


def pictures(count: int, seed: int) -> NDArray[np.float32]:
    """Draw pictures, [count, 1, 3, 224, 224]: mostly coarse, as photographs are, of variance 1."""
    generator = np.random.default_rng(seed)
    side = PICTURE.size // COARSE
    coarse = generator.standard_normal((count, 1, 3, side, side), np.float32)
    fine = generator.standard_normal((count, 1, *PICTURE.shape[1:]), np.float32)
    shown: Any = np.float32(0.9) * np.kron(coarse, np.ones((COARSE, COARSE), np.float32))
    return np.asarray(shown + np.float32(0.19**0.5) * fine, np.float32)


def _port(name: str, sides: dict[str, int]) -> Port:
    axes = tuple(Axis(name=each, low=side, high=side) for each, side in sides.items())
    return Port(name=name, dtype="float32", axes=axes)
