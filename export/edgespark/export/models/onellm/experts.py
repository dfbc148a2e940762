"""The experts that all modalities share: stacks of LLaMA blocks that look both ways."""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import attend
from edgespark.export.models.llama import RMSNorm
from edgespark.export.models.onellm.config import Mixture


class Attention(nn.Module):
    """Attention without bias, mask or positions."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the projections."""
        super().__init__()
        self.heads = heads
        self.wq = nn.Linear(width, width, bias=False)
        self.wk = nn.Linear(width, width, bias=False)
        self.wv = nn.Linear(width, width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Mix `asked` [batch, sequence, width] for each row of `asking`, whose axes are given."""
        mixed = attend(self.wq(asking), self.wk(asked), self.wv(asked), self.heads)
        return self.wo(mixed)  # type: ignore[no-any-return] # nn.Module


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202) under Meta's names."""

    def __init__(self, width: int, hidden: int) -> None:
        """Make the three projections, all without bias."""
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each row of [batch, sequence, width]."""
        return self.w2(nn.functional.silu(self.w1(x)) * self.w3(x))  # type: ignore[no-any-return] # nn.Module


class Block(nn.Module):
    """A LLaMA block."""

    def __init__(self, config: Mixture, width: int) -> None:
        """Make attention, feed-forward layer and their norms."""
        super().__init__()
        self.attention_norm = RMSNorm(width, config.epsilon)
        self.attention = Attention(width, config.heads)
        self.ffn_norm = RMSNorm(width, config.epsilon)
        self.feed_forward = FeedForward(width, config.hidden)

    def forward(self, x: Tensor, rows: int | None = None) -> Tensor:
        """Give the first `rows` of [batch, sequence, width], all by default; they see every row."""
        normed = self.attention_norm(x)
        x = x[:, :rows] + self.attention(normed[:, :rows], normed)
        return x + self.feed_forward(self.ffn_norm(x))  # type: ignore[no-any-return] # nn.Module


class Experts(nn.Module):
    """All stacks, side by side on the same sequence."""

    def __init__(self, config: Mixture, width: int) -> None:
        """Make all blocks."""
        super().__init__()
        self.latents = config.latents
        self.resample_layers = nn.ModuleList(
            nn.ModuleList(Block(config, width) for _ in range(config.depth))
            for _ in range(config.count)
        )

    def forward(self, sequence: Tensor) -> Tensor:
        """Give each stack's latents: float32 [1, sequence, width] to [experts, latents, width].

        No other row of the last block's output is used, and none is computed.
        """
        return torch.cat([self._one(stack, sequence) for stack in self.resample_layers])

    def _one(self, stack: nn.Module, x: Tensor) -> Tensor:
        *blocks, last = stack.children()
        for block in blocks:
            x = block(x)
        return last(x, self.latents)  # type: ignore[no-any-return] # nn.Module
