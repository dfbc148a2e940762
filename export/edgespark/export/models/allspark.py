"""AllSpark's chain (arXiv 2401.00546) in PyTorch: encoders, bridges, LLM, task heads.

AllSpark's own code and weights are not public: backbone and bridge follow Lynx, the encoders the
works that AllSpark names.
"""

from typing import cast

from torch import Tensor, nn

from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import (
    AllSparkConfig,
    Convolutional,
    Encoder,
    FieldTransformer,
    PointTransformer,
    SeriesTransformer,
    Spectral,
    TrackTransformer,
    Transformer,
    Video,
)
from edgespark.export.models.convolutional import ConvolutionalEncoder
from edgespark.export.models.fields import TabFormer
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.points import PointBert
from edgespark.export.models.series import STAEformer
from edgespark.export.models.spectral import SpectralTransformer
from edgespark.export.models.tracks import Tutr
from edgespark.export.models.video import FramePositions, VideoEncoder
from edgespark.export.models.vision import VisionTransformer

ENCODERS: dict[type[Encoder], type[nn.Module]] = {
    Transformer: VisionTransformer,
    Convolutional: ConvolutionalEncoder,
    Spectral: SpectralTransformer,
    Video: FramePositions,  # all that a video has of its own
    PointTransformer: PointBert,
    FieldTransformer: TabFormer,
    SeriesTransformer: STAEformer,
    TrackTransformer: Tutr,
}


class AllSpark(nn.Module):
    """All parts under one roof; `encoders`, `bridges` and `heads` are keyed by modality."""

    def __init__(self, config: AllSparkConfig) -> None:
        """Make every part at the sizes of the config, with random weights."""
        super().__init__()
        self.config = config
        width = config.llm.width
        self.encoders = nn.ModuleDict(
            {name: ENCODERS[type(size)](size) for name, size in config.encoders.items()}
        )
        self.bridges = nn.ModuleDict(
            {
                name: Bridge(size.width, width, config.bridge)
                for name, size in config.encoders.items()
                if config.owner(name) == name
            }
        )
        self.LLM = LlamaDecoder(config.llm)  # the checkpoint's name for it
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, task.outputs) for name, task in config.tasks.items()}
        )

    def encoder(self, modality: str) -> nn.Module:
        """Give the whole encoder of a modality; a video's shares that of its frames."""
        own, owner = self.encoders[modality], self.config.owner(modality)
        if owner == modality:
            return own
        return VideoEncoder(self.encoders[owner], cast("FramePositions", own))

    def bridge(self, modality: str) -> nn.Module:
        """Give the bridge of a modality, perhaps another one's."""
        return self.bridges[self.config.owner(modality)]

    def perceive(self, modality: str, *arrays: Tensor) -> Tensor:
        """Bring prepared arrays [batch, …] to tokens [batch, latents, width]."""
        return self.bridge(modality)(self.encoder(modality)(*arrays))  # type: ignore[no-any-return] # nn.Module

    def embed(self, ids: Tensor) -> Tensor:
        """Look up ids int64 [batch, sequence]: [batch, sequence, width]."""
        return self.LLM.model.embed_tokens(ids)  # type: ignore[no-any-return] # nn.Module
