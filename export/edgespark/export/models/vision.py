"""The vision transformer of Lynx (EVA ViT; bytedance/lynx-llm at 24680d1, arXiv 2303.11331)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.config import Transformer

EPSILON = 1e-6


class Attention(nn.Module):
    """Self-attention with biases on query and value, none on key."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the four projections."""
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: [batch, tokens, width] to the same."""
        query, key, value = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed = scores.softmax(-1) @ value
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return] # nn.Module


class Mlp(nn.Module):
    """Two linear layers around the exact GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        """Make both layers."""
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token: [batch, tokens, width] to the same."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))  # type: ignore[no-any-return] # nn.Module


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, config: Transformer) -> None:
        """Make attention, MLP and their norms."""
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=EPSILON)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=EPSILON)
        self.mlp = Mlp(config.width, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Add attention, then the MLP: [batch, tokens, width] to the same."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return] # nn.Module


class PatchEmbed(nn.Module):
    """Cuts an image of any number of bands into patches and projects each to one token."""

    def __init__(self, config: Transformer) -> None:
        """Make the projection."""
        super().__init__()
        self.proj = nn.Conv2d(config.bands, config.width, config.patch, config.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """[batch, bands, rows, columns] to [batch, patches, width]."""
        return self.proj(pixels).flatten(2).transpose(1, 2)  # type: ignore[no-any-return] # nn.Module


class VisionTransformer(nn.Module):
    """Patches and a class token through the blocks; no final norm, as in Lynx."""

    def __init__(self, config: Transformer) -> None:
        """Make all layers at the sizes of the config."""
        super().__init__()
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pixels float32 [batch, bands, rows, columns] into [batch, tokens, width]."""
        patches = self.patch_embed(pixels)
        first = self.cls_token.expand(patches.shape[0], -1, -1)
        x = torch.cat((first, patches), 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x
