"""SpectralFormer (arXiv 2107.02988): a transformer along the spectrum of a small patch.

Group-wise spectral embedding makes each band, with its neighbours in the spectrum, one token;
cross-layer adaptive fusion mixes what enters a block with what entered the one two before. As in
the paper's patch-wise form, a token sees all pixels of its bands. No public weights are followed.
"""

import torch
from torch import Tensor, nn

from edgespark.export.models.attention import Block
from edgespark.export.models.config import Spectral

REACH = 2  # how many blocks back the fusion reaches


class GroupEmbedding(nn.Module):
    """Projects each band and its neighbours to one token; beyond the ends, the end is repeated."""

    def __init__(self, config: Spectral) -> None:
        """Make the projection, a convolution along the bands."""
        super().__init__()
        self.before, self.after = (config.group - 1) // 2, config.group // 2
        self.proj = nn.Conv1d(config.size**2, config.width, config.group)

    def forward(self, pixels: Tensor) -> Tensor:
        """[batch, bands, rows, columns] to [batch, bands, width]."""
        x = pixels.flatten(2).transpose(1, 2)
        ends = (x[..., :1].expand(-1, -1, self.before), x[..., -1:].expand(-1, -1, self.after))
        return self.proj(torch.cat((ends[0], x, ends[1]), 2)).transpose(1, 2)  # type: ignore[no-any-return] # nn.Module


class SpectralTransformer(nn.Module):
    """Bands and a class token through the fused blocks and a final norm."""

    def __init__(self, config: Spectral) -> None:
        """Make all layers at the sizes of the config."""
        super().__init__()
        self.embedding = GroupEmbedding(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        sizes = (config.width, config.heads, config.hidden)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.depth))
        self.fusion = nn.Parameter(torch.full((max(config.depth - REACH, 0), 2), 0.5))
        self.norm = nn.LayerNorm(config.width)
        # As large as the bands' tokens: smaller ones are lost in the norm, and bands look alike.
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=1.0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pixels float32 [batch, bands, rows, columns] into [batch, bands + 1, width]."""
        bands = self.embedding(pixels)
        first = self.cls_token.expand(bands.shape[0], -1, -1)
        x = torch.cat((first, bands), 1) + self.pos_embed
        entered: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            entered.append(x)
            if index >= REACH:
                own, earlier = self.fusion[index - REACH].unbind()
                x = own * x + earlier * entered[index - REACH]
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return] # nn.Module
