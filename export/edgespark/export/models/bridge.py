"""The bridge of Lynx: a Perceiver resampler (bytedance/lynx-llm at 24680d1; arXiv 2204.14198)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.config import Perceiver


class CrossAttention(nn.Module):
    """Latents ask; keys and values come from the media alone."""

    def __init__(self, media: int, width: int, config: Perceiver) -> None:
        """Make the projections, all without bias."""
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.norm_media = nn.LayerNorm(media)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(media, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, media: Tensor, latents: Tensor) -> Tensor:
        """Media [batch, tokens, media], latents [batch, latents, width], to the latents' shape."""
        key, value = self.to_kv(self.norm_media(media)).chunk(2, -1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q(self.norm_latents(latents)), key, value)
        )
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return self.to_out(mixed)  # type: ignore[no-any-return] # nn.Module


def feed_forward(width: int, multiple: int) -> nn.Sequential:
    """Make a pre-norm MLP without biases; GELU is the exact one."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, width * multiple, bias=False),
        nn.GELU(),
        nn.Linear(width * multiple, width, bias=False),
    )


class Bridge(nn.Module):
    """Turns any number of media tokens into a fixed number of tokens of the LLM's width."""

    def __init__(self, media: int, width: int, config: Perceiver) -> None:
        """Make the latents, and `depth` pairs of cross-attention and MLP."""
        super().__init__()
        self.latents = nn.Parameter(torch.randn(config.latents, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (CrossAttention(media, width, config), feed_forward(width, config.multiple))
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)

    def pairs(self) -> list[list[nn.Module]]:
        """Give cross-attention and MLP of each layer."""
        return [list(layer) for layer in self.layers]  # type: ignore[call-overload] # ModuleList

    def forward(self, media: Tensor) -> Tensor:
        """Bridge media float32 [batch, tokens, media] to [batch, latents, width]."""
        x = self.latents.expand(media.shape[0], -1, -1)
        for attend, transform in self.pairs():
            x = x + attend(media, x)
            x = x + transform(x)
        return self.norm(x)  # type: ignore[no-any-return] # nn.Module
