"""The video path of Lynx: frames one by one, and their places (bytedance/lynx-llm at 24680d1)."""

import torch
from torch import Tensor, nn

from edgespark.export.models.config import Video


class FramePositions(nn.Module):
    """What is added to the tokens of each frame; a single image gets none."""

    def __init__(self, config: Video) -> None:
        """Make the table, with the checkpoint's name for it."""
        super().__init__()
        self.absolute_frame_pos_embed = nn.Parameter(torch.zeros(1, config.frames, 1, config.width))


class VideoEncoder(nn.Module):
    """An encoder of images over every frame; its tokens stand one frame after the other."""

    def __init__(self, image: nn.Module, positions: FramePositions) -> None:
        """Share the image encoder with the modality that owns it."""
        super().__init__()
        self.image = image
        self.positions = positions

    def forward(self, frames: Tensor) -> Tensor:
        """Encode [batch, frames, bands, rows, columns] into [batch, frames * tokens, width]."""
        tokens = self.image(frames.flatten(0, 1)).unflatten(0, (-1, frames.shape[1]))
        return (tokens + self.positions.absolute_frame_pos_embed).flatten(1, 2)  # type: ignore[no-any-return] # nn.Module
