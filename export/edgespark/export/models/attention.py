"""What the smaller encoders share: multi-head attention, and a pre-norm transformer block."""

from torch import Tensor, nn

ABSENT = -1e9  # the score of what must not be looked at, as TUTR has it


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, present: Tensor | None = None
) -> Tensor:
    """Mix values by scaled dot products (arXiv 1706.03762).

    query: [..., asking, width]; key, value: [..., asked, width]; present: bool, broadcast to
    [..., heads, asking, asked]; where it is false, the value is not looked at. Gives query's shape.
    """
    query, key, value = (
        each.unflatten(-1, (heads, -1)).transpose(-3, -2)  # type: ignore[no-untyped-call] # torch
        for each in (query, key, value)
    )
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if present is not None:
        scores = scores.masked_fill(~present, ABSENT)
    mixed: Tensor = scores.softmax(-1) @ value
    return mixed.transpose(-3, -2).flatten(-2)


class Attention(nn.Module):
    """Self-attention; query, key and value come from one projection without bias."""

    def __init__(self, width: int, heads: int) -> None:
        """Make both projections."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: [batch, tokens, width] to the same."""
        query, key, value = self.qkv(x).chunk(3, -1)
        return self.proj(attend(query, key, value, self.heads))  # type: ignore[no-any-return] # nn.Module


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
    """A pre-norm transformer block (arXiv 2010.11929), as Point-BERT and SpectralFormer have it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        """Make attention, MLP and their norms."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Add attention, then the MLP: [batch, tokens, width] to the same."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return] # nn.Module
