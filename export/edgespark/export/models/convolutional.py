"""A residual CNN for SAR: AllSpark names "CNN", no more, so blocks as in arXiv 1512.03385."""

from torch import Tensor, nn

from edgespark.export.models.config import Convolutional


class Stage(nn.Module):
    """Halves the size, then adds one residual block of two 3x3 convolutions."""

    def __init__(self, before: int, width: int) -> None:
        """Make the convolutions; batch norms follow each."""
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, before, rows, columns] to [batch, width, rows / 2, columns / 2]."""
        x = self.down(x)
        return nn.functional.relu(x + self.residual(x))


class ConvolutionalEncoder(nn.Module):
    """Stages one after the other; the cells of the last feature map are the tokens."""

    def __init__(self, config: Convolutional) -> None:
        """Make one stage per width of the config."""
        super().__init__()
        pairs = zip((config.bands, *config.widths), config.widths, strict=False)
        self.stages = nn.Sequential(*(Stage(before, width) for before, width in pairs))

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pixels float32 [batch, bands, rows, columns] into [batch, tokens, width]."""
        return self.stages(pixels).flatten(2).transpose(1, 2)  # type: ignore[no-any-return] # nn.Module
