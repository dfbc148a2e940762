"""CLIP's vision transformer without its patches: the trunk that all modalities share.

OpenAI's ViT-L/14 (arXiv 2103.00020), as open_clip 2.23 builds it: QuickGELU, and query, key and
value from one packed projection. OneLLM keeps all tokens and leaves CLIP's own projection out.
"""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import attend
from edgespark.export.models.onellm.config import Clip


class Attention(nn.Module):
    """Self-attention with the packed projection of torch's MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        """Make both projections."""
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: [frames, tokens, width] to the same."""
        packed = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = packed.chunk(3, -1)
        return self.out_proj(attend(query, key, value, self.heads))  # type: ignore[no-any-return] # nn.Module


class Mlp(nn.Module):
    """Two linear layers around QuickGELU."""

    def __init__(self, width: int) -> None:
        """Make both layers."""
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token: [frames, tokens, width] to the same."""
        inner = self.c_fc(x)
        return self.c_proj(inner * torch.sigmoid(1.702 * inner))  # type: ignore[no-any-return] # nn.Module


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        """Make attention, MLP and their norms."""
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Add attention, then the MLP: [frames, tokens, width] to the same."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return] # nn.Module


class Trunk(nn.Module):
    """The blocks between two norms."""

    def __init__(self, config: Clip) -> None:
        """Make all blocks."""
        super().__init__()
        self.ln_pre = nn.LayerNorm(config.width)
        self.resblocks = nn.ModuleList(
            Block(config.width, config.heads) for _ in range(config.depth)
        )
        self.ln_post = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode each frame alone: float32 [frames, tokens, width] to the same."""
        x = self.ln_pre(tokens)
        for block in self.resblocks:
            x = block(x)
        return self.ln_post(x)  # type: ignore[no-any-return] # nn.Module
