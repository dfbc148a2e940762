"""TabFormer's field transformer (IBM/TabFormer at ebb7cd6, arXiv 2011.01843)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import attend
from edgespark.export.models.config import FieldTransformer


class Attention(nn.Module):
    """Self-attention with one packed projection, named as in torch.nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        """Make both projections."""
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: [..., tokens, width] to the same."""
        packed = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = packed.chunk(3, -1)
        return self.out_proj(attend(query, key, value, self.heads))  # type: ignore[no-any-return] # nn.Module


class Layer(nn.Module):
    """A post-norm layer with ReLU, the default of torch.nn.TransformerEncoderLayer."""

    def __init__(self, width: int, heads: int) -> None:
        """Make attention, MLP and their norms; the MLP is as wide inside as outside."""
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer on [..., tokens, width]."""
        x = self.norm1(x + self.self_attn(x))
        hidden = nn.functional.relu(self.linear1(x))
        return self.norm2(x + self.linear2(hidden))  # type: ignore[no-any-return] # nn.Module


class Layers(nn.Module):
    """The layers one after the other."""

    def __init__(self, config: FieldTransformer) -> None:
        """Make all layers."""
        super().__init__()
        self.layers = nn.ModuleList(Layer(config.field, config.heads) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers on [..., tokens, width]."""
        for layer in self.layers:
            x = layer(x)
        return x


class TabFormer(nn.Module):
    """Mixes the cells of each row; rows know nothing of each other."""

    def __init__(self, config: FieldTransformer) -> None:
        """Make all layers."""
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.field)
        self.transformer_encoder = Layers(config)
        self.lin_proj = nn.Linear(config.columns * config.field, config.width)

    def forward(self, cells: Tensor) -> Tensor:
        """Encode cells int64 [batch, rows, columns] into [batch, rows, width]."""
        mixed = self.transformer_encoder(self.word_embeddings(cells))
        return self.lin_proj(mixed.flatten(2))  # type: ignore[no-any-return] # nn.Module
