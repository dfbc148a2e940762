"""OneLLM at a size for tests: random weights under the released names, in float16."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.config import Llama
from edgespark.export.models.onellm.config import ONELLM, Clip, OneLLMConfig
from edgespark.export.models.onellm.names import PREFIX, checkpoint_shapes
from edgespark.export.recipes.onellm import onellm_blueprint
from tests.export.small import byte_tokenizer

MODALITIES = ("image", "rgbd", "imu")
SMALL = replace(
    ONELLM,
    name="onellm-small",
    tokenizers={name: ONELLM.tokenizers[name] for name in MODALITIES},
    clip=Clip(width=64, depth=2, heads=2),
    clip_text=replace(ONELLM.clip_text, width=32, vocabulary=40, joint=16),
    experts=replace(ONELLM.experts, depth=2, heads=2, hidden=128),
    llm=Llama(
        vocabulary=258,  # of the tokenizer below
        width=128,
        depth=2,
        heads=4,
        hidden=256,
        context=512,
        adapters=(),
        bottleneck=0,
        epsilon=1e-5,
    ),
)


def tensors(config: OneLLMConfig = SMALL, seed: int = 0) -> dict[str, Tensor]:
    """Draw every tensor of a checkpoint, by its released name."""
    generator = torch.Generator().manual_seed(seed)
    return {
        PREFIX + name: _drawn(name, shape, generator)
        for name, shape in checkpoint_shapes(config).items()
    }


def _drawn(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        return (0.02 * values + (1 if name.endswith("weight") else 0)).half()
    return values.div(prod(shape[1:]) ** 0.5).half()


def tokenizer() -> Tokenizer:
    """Make a tokenizer of single bytes with LLaMA's tokens that begin and end."""
    made = byte_tokenizer()
    made.add_special_tokens(["<s>", "</s>"])
    return made


def checkpoint(folder: Path, changed: Mapping[str, Tensor] | None = None) -> Path:
    """Write a checkpoint of one file, with its tokenizer beside it; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    path = folder / "consolidated.00-of-01.pth"
    torch.save(tensors() | dict(changed or {}), path)
    return path


def blueprint(
    folder: Path,
    modalities: tuple[str, ...] = (),
    changed: Mapping[str, Tensor] | None = None,
) -> Blueprint:
    """Make the blueprint of the small model."""
    return onellm_blueprint(SMALL, checkpoint(folder, changed), modalities)
