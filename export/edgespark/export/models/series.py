"""STAEformer (XDZhelheim/STAEformer at 2dfb9e3, arXiv 2308.10425)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import attend
from edgespark.export.models.config import SeriesTransformer

CHANNELS, DAYS = 3, 7


class Attention(nn.Module):
    """Self-attention along the second-last axis."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the four projections."""
        super().__init__()
        self.heads = heads
        self.FC_Q = nn.Linear(width, width)
        self.FC_K = nn.Linear(width, width)
        self.FC_V = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: [..., tokens, width] to the same."""
        mixed = attend(self.FC_Q(x), self.FC_K(x), self.FC_V(x), self.heads)
        return self.out_proj(mixed)  # type: ignore[no-any-return] # nn.Module


class Layer(nn.Module):
    """A post-norm layer with ReLU."""

    def __init__(self, config: SeriesTransformer) -> None:
        """Make attention, MLP and their norms."""
        super().__init__()
        width = config.channels
        self.attn = Attention(width, config.heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, width)
        )
        self.ln1 = nn.LayerNorm(width)
        self.ln2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer on [..., tokens, width]."""
        x = self.ln1(x + self.attn(x))
        return self.ln2(x + self.feed_forward(x))  # type: ignore[no-any-return] # nn.Module


class STAEformer(nn.Module):
    """Embeds value and time at each node, then mixes along the steps, then among the nodes.

    `adaptive_embedding` belongs to the nodes it was trained with: their number and order are fixed.
    """

    def __init__(self, config: SeriesTransformer) -> None:
        """Make all layers."""
        super().__init__()
        self.steps_per_day = config.steps_per_day
        self.input_proj = nn.Linear(CHANNELS, config.value)
        self.tod_embedding = nn.Embedding(config.steps_per_day, config.day)
        self.dow_embedding = nn.Embedding(DAYS, config.week)
        self.adaptive_embedding = nn.Parameter(
            torch.empty(config.steps, config.nodes, config.adaptive)
        )
        self.attn_layers_t = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.attn_layers_s = nn.ModuleList(Layer(config) for _ in range(config.layers))
        nn.init.xavier_uniform_(self.adaptive_embedding)

    def forward(self, series: Tensor) -> Tensor:
        """Encode series float32 [batch, steps, nodes, 3] into [batch, nodes, steps * channels].

        The three are the value, the time of day in [0, 1), and the day of week (0 to 6).
        """
        x = self.embed(series).transpose(1, 2)  # [batch, nodes, steps, channels]
        for layer in self.attn_layers_t:
            x = layer(x)
        x = x.transpose(1, 2)
        for layer in self.attn_layers_s:
            x = layer(x)
        return x.transpose(1, 2).flatten(2)

    def embed(self, series: Tensor) -> Tensor:
        """[batch, steps, nodes, 3] to [batch, steps, nodes, channels]."""
        day = self.tod_embedding((series[..., 1] * self.steps_per_day).long())
        week = self.dow_embedding(series[..., 2].long())
        adaptive = self.adaptive_embedding.expand(series.shape[0], -1, -1, -1)
        return torch.cat((self.input_proj(series), day, week, adaptive), -1)


class STAEformerForecaster(STAEformer):
    """STAEformer with the public code's output layer: no part of the chain."""

    def __init__(self, config: SeriesTransformer, outputs: int = 1) -> None:
        """Make all layers; `outputs` are the values told per node and step."""
        super().__init__(config)
        self.outputs = outputs
        self.output_proj = nn.Linear(config.width, config.predicted * outputs)

    def forward(self, series: Tensor) -> Tensor:
        """Forecast from what STAEformer reads: [batch, predicted, nodes, outputs]."""
        told = self.output_proj(super().forward(series))
        return told.unflatten(-1, (-1, self.outputs)).transpose(1, 2)  # type: ignore[no-any-return] # nn.Module
