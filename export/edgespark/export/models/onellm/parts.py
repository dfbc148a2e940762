"""What stands between the shared parts, per modality, and how each part of the chain is made."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.onellm.clip import Trunk
from edgespark.export.models.onellm.config import OneLLMConfig
from edgespark.export.models.onellm.experts import Experts
from edgespark.export.models.onellm.tokenizers import Tokenizer


class Projection(nn.Module):
    """The mean over frames, a map, and the modality's latents in front."""

    def __init__(self, config: OneLLMConfig) -> None:
        """Make the weights."""
        super().__init__()
        width = config.clip.width
        self.clip_proj1 = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.resample_tokens = nn.Parameter(torch.zeros(1, config.experts.latents, width))

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 [frames, tokens, width] to [1, latents + tokens, width]."""
        mapped = self.clip_proj1(features.mean(0, keepdim=True))
        return torch.cat((self.resample_tokens, mapped), 1)


class Bridge(nn.Module):
    """The experts' weighted sum, mapped to the LLM's width, between the modality's tags.

    The public code has a router give the weights. It sees the latents alone, which are the same
    for every input: `weights` [experts, latents, 1] are what it gives (`fold`).
    """

    weights: Tensor

    def __init__(self, config: OneLLMConfig) -> None:
        """Make the map, the tags and the place of the weights."""
        super().__init__()
        experts, width = config.experts, config.llm.width
        self.register_buffer("weights", torch.zeros(experts.count, experts.latents, 1))
        self.clip_proj2 = nn.Sequential(nn.Linear(config.clip.width, width), nn.LayerNorm(width))
        self.start_tag = nn.Parameter(torch.zeros(1, 1, width))
        self.end_tag = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, latents: Tensor) -> Tensor:
        """Map float32 [experts, latents, width] to [1, 1 + latents + 1, the LLM's width]."""
        mixed = (latents * self.weights).sum(0, keepdim=True)
        return torch.cat((self.start_tag, self.clip_proj2(mixed), self.end_tag), 1)


def _tokenizer(config: OneLLMConfig, modality: str) -> nn.Module:
    return Tokenizer(config.tokenizers[modality], config.clip.width)


def _trunk(config: OneLLMConfig, _: str) -> nn.Module:
    return Trunk(config.clip)


def _projection(config: OneLLMConfig, _: str) -> nn.Module:
    return Projection(config)


def _experts(config: OneLLMConfig, _: str) -> nn.Module:
    return Experts(config.experts, config.clip.width)


def _bridge(config: OneLLMConfig, _: str) -> nn.Module:
    return Bridge(config)


def _llm(config: OneLLMConfig, _: str) -> nn.Module:
    return LlamaDecoder(config.llm)


KINDS: dict[str, Callable[[OneLLMConfig, str], nn.Module]] = {
    "tokenizer": _tokenizer,
    "trunk": _trunk,
    "projection": _projection,
    "experts": _experts,
    "bridge": _bridge,
    "llm": _llm,
}


def make(config: OneLLMConfig, part: str) -> nn.Module:
    """Make a part by its name, as `names.parts` gives them; its weights mean nothing yet."""
    kind, _, modality = part.partition(".")
    return KINDS[kind](config, modality)
