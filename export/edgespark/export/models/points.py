"""Point-BERT (Julie-tang00/Point-BERT at ce5a6e1, arXiv 2111.14819), after the grouping.

Sampling and grouping are the host's work: `edgespark.runtime.points`.
"""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import Block
from edgespark.export.models.config import PointTransformer

POSITION = 128  # hidden channels of the position embedding, fixed in the public code
FIRST = 128  # those of its mini-PointNet
HEAD = 256  # those of its classification head
MULTIPLE = 4


def _convolutions(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(before, hidden, 1),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Conv1d(hidden, after, 1),
    )


class MiniPointNet(nn.Module):
    """Brings each group of points to one feature vector (after PointNet, arXiv 1612.00593)."""

    def __init__(self, first: int, features: int) -> None:
        """Make both pairs of convolutions; the batch norms' epsilon is 1e-5."""
        super().__init__()
        self.first_conv = _convolutions(3, first, 2 * first)
        self.second_conv = _convolutions(4 * first, 4 * first, features)

    def forward(self, neighbourhoods: Tensor) -> Tensor:
        """[batch, groups, neighbours, 3] to [batch, groups, features]."""
        groups, neighbours = neighbourhoods.shape[1:3]
        each = self.first_conv(neighbourhoods.flatten(0, 1).transpose(1, 2))
        whole = each.amax(2, keepdim=True).expand(-1, -1, neighbours)
        found = self.second_conv(torch.cat((whole, each), 1)).amax(2)
        return found.unflatten(0, (-1, groups))  # type: ignore[no-any-return] # nn.Module


class Blocks(nn.Module):
    """The transformer; positions are added again before every block."""

    def __init__(self, config: PointTransformer) -> None:
        """Make all blocks."""
        super().__init__()
        sizes = (config.width, config.heads, MULTIPLE * config.width)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.depth))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Tokens and positions [batch, tokens, width] to the same."""
        for block in self.blocks:
            x = block(x + positions)
        return x


class PointBert(nn.Module):
    """Groups of points and a class token through the blocks and the final norm."""

    def __init__(self, config: PointTransformer, first: int | None = None) -> None:
        """Make all layers; `first`, the narrowest of the mini-PointNet, is features / 2 if None.

        At 256 features, as in the public code, both say the same.
        """
        super().__init__()
        width = config.width
        self.encoder = MiniPointNet(first or config.features // 2, config.features)
        self.reduce_dim = nn.Linear(config.features, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_pos = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Sequential(
            nn.Linear(3, POSITION), nn.GELU(), nn.Linear(POSITION, width)
        )
        self.blocks = Blocks(config)
        self.norm = nn.LayerNorm(width)
        for token in (self.cls_token, self.cls_pos):
            nn.init.trunc_normal_(token, std=0.02)

    def forward(self, neighbourhoods: Tensor, centres: Tensor) -> Tensor:
        """Encode groups of points into tokens, the class token first.

        neighbourhoods: float32 [batch, groups, neighbours, 3], relative to their centre; centres:
        float32 [batch, groups, 3]. Gives [batch, groups + 1, width].
        """
        batch = centres.shape[0]
        groups = self.reduce_dim(self.encoder(neighbourhoods))
        x = torch.cat((self.cls_token.expand(batch, -1, -1), groups), 1)
        places = torch.cat((self.cls_pos.expand(batch, -1, -1), self.pos_embed(centres)), 1)
        return self.norm(self.blocks(x, places))  # type: ignore[no-any-return] # nn.Module


class PointBertClassifier(PointBert):
    """Point-BERT with the public code's head: a model of its own, no part of the chain."""

    def __init__(self, config: PointTransformer, classes: int) -> None:
        """Make all layers; the mini-PointNet's inner widths are those of the public code."""
        super().__init__(config, FIRST)
        self.cls_head_finetune = nn.Sequential(
            nn.Linear(2 * config.width, HEAD),
            nn.ReLU(),
            nn.Identity(),  # the dropout's place
            nn.Linear(HEAD, classes),
        )

    def forward(self, neighbourhoods: Tensor, centres: Tensor) -> Tensor:
        """Classify what PointBert encodes: [batch, classes]."""
        tokens = super().forward(neighbourhoods, centres)
        joined = torch.cat((tokens[:, 0], tokens[:, 1:].amax(1)), -1)
        return self.cls_head_finetune(joined)  # type: ignore[no-any-return] # nn.Module
