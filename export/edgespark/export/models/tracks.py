"""TUTR (lssiair/TUTR at 655a756; "Trajectory Unified Transformer", ICCV 2023)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import attend
from edgespark.export.models.config import TrackTransformer

EPSILON = 1e-6


class SampleNorm(nn.Module):
    """A layer norm that divides by the sample standard deviation (n - 1), plus epsilon."""

    def __init__(self, width: int) -> None:
        """Make gain `a` and offset `b`."""
        super().__init__()
        self.a = nn.Parameter(torch.ones(width))
        self.b = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each row of [..., width]."""
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1)
        return self.a * centred / (variance.sqrt() + EPSILON) + self.b


def _projection(width: int, *, deep: bool) -> nn.Module:
    if not deep:
        return nn.Linear(width, width)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


class Attention(nn.Module):
    """Attention; the decoder's projects queries and keys through two layers (`deep`)."""

    def __init__(self, width: int, heads: int, *, deep: bool) -> None:
        """Make the four projections."""
        super().__init__()
        self.heads = heads
        self.w_key = _projection(width, deep=deep)
        self.w_query = _projection(width, deep=deep)
        self.w_value = nn.Linear(width, width)
        self.fc_out = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor, present: Tensor | None) -> Tensor:
        """Mix `seen` [batch, seen, width] into x [batch, tokens, width], giving x's shape."""
        query, key, value = self.w_query(x), self.w_key(seen), self.w_value(seen)
        return self.fc_out(attend(query, key, value, self.heads, present))  # type: ignore[no-any-return] # nn.Module


class FeedForward(nn.Module):
    """Two linear layers around ReLU."""

    def __init__(self, width: int, hidden: int) -> None:
        """Make both layers."""
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token: [..., width] to the same."""
        return self.w2(nn.functional.relu(self.w1(x)))  # type: ignore[no-any-return] # nn.Module


class Layer(nn.Module):
    """A post-norm layer of the encoder, or (`deep`) of the decoder."""

    def __init__(self, config: TrackTransformer, *, deep: bool) -> None:
        """Make attention, MLP and their norms."""
        super().__init__()
        self.attn = Attention(config.width, config.heads, deep=deep)
        self.norm1 = SampleNorm(config.width)
        self.norm2 = SampleNorm(config.width)
        self.feed_forward = FeedForward(config.width, config.expansion * config.width)

    def forward(self, x: Tensor, seen: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the layer on x [batch, tokens, width]; the rest is as in Attention.forward."""
        x = self.norm1(x + self.attn(x, seen, present))
        return self.norm2(x + self.feed_forward(x))  # type: ignore[no-any-return] # nn.Module


class Layers(nn.Module):
    """Several layers under the public code's name."""

    def __init__(self, config: TrackTransformer, count: int, *, deep: bool) -> None:
        """Make all layers."""
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, deep=deep) for _ in range(count))


class Trunk(nn.Module):
    """What the chain's encoder and the public model share."""

    def __init__(self, config: TrackTransformer, decoders: int = 1) -> None:
        """Make all layers; `decoders` is the number of the social decoder's."""
        super().__init__()
        self.embedding = nn.Linear(2 * (config.observed + config.predicted), config.width)
        self.mode_encoder = Layers(config, config.layers, deep=False)
        self.nei_embedding = nn.Linear(2 * config.observed, config.width)
        self.social_decoder = Layers(config, decoders, deep=True)

    def compare(self, track: Tensor, modes: Tensor) -> Tensor:
        """Give a token per mode: track [batch, observed, 2], modes [modes, predicted, 2]."""
        past = track.unsqueeze(1).expand(-1, modes.shape[0], -1, -1)
        future = modes.expand(track.shape[0], -1, -1, -1)
        x = self.embedding(torch.cat((past, future), 2).flatten(2))
        for layer in self.mode_encoder.layers:
            x = layer(x, x)
        return x  # type: ignore[no-any-return] # nn.Module

    def interact(self, x: Tensor, neighbours: Tensor, present: Tensor) -> Tensor:
        """Let each token look at the agents; every layer gets x itself, and the last one is heard.

        x: [batch, modes, width]; neighbours: [batch, agents, observed, 2]; present: bool [batch,
        agents]. Gives x's shape.
        """
        seen = self.nei_embedding(neighbours.flatten(2))
        return self.social_decoder.layers[-1](x, seen, present[:, None, None])  # type: ignore[no-any-return] # nn.Module


class Tutr(Trunk):
    """TUTR as the chain's encoder: a token per general motion mode.

    `motion_modes` [modes, predicted, 2] are data, not trained: positions relative to the agent's
    last one, the centres of clusters of the training tracks.
    """

    motion_modes: Tensor

    def __init__(self, config: TrackTransformer) -> None:
        """Make all layers; the modes are random walks until the training sets them."""
        super().__init__(config)
        walks = torch.randn(config.modes, config.predicted, 2).cumsum(1)
        self.register_buffer("motion_modes", walks)

    def forward(self, track: Tensor, neighbours: Tensor, present: Tensor) -> Tensor:
        """Encode an agent among others into [batch, modes, width].

        track: float32 [batch, observed, 2]; neighbours: float32 [batch, agents, observed, 2], the
        agent itself first; present: bool [batch, agents].
        """
        return self.interact(self.compare(track, self.motion_modes), neighbours, present)


class TutrForecaster(Trunk):
    """TUTR with the public code's heads, the modes an input: no part of the chain."""

    def __init__(self, config: TrackTransformer, decoders: int = 1, kept: int = 20) -> None:
        """Make all layers; `kept` is the number of trajectories told."""
        super().__init__(config, decoders)
        self.kept = kept
        self.cls_head = nn.Linear(config.width, 1)
        self.reg_head = nn.Linear(config.width, 2 * config.predicted)

    def forward(
        self, track: Tensor, neighbours: Tensor, modes: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Forecast along the likeliest modes [modes, predicted, 2]; the rest is as in Tutr.

        Gives trajectories [batch, kept, predicted, 2] in the order of falling scores, the scores
        [batch, modes], and the modes' indices int64 [batch, kept].
        """
        x = self.compare(track, modes)
        scores = self.cls_head(x).squeeze(-1)
        best = scores.topk(self.kept, -1).indices
        chosen = x.gather(1, best.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        told = self.reg_head(self.interact(chosen, neighbours, present))
        return told.unflatten(-1, (-1, 2)), scores, best
