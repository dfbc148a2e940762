"""AllSpark's chain (arXiv 2401.00546) in PyTorch: encoders, bridges, LLM, task heads.

AllSpark's own code and weights are not public: backbone and bridge follow Lynx, the encoders the
works that AllSpark names.
"""

from torch import Tensor, nn

from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import AllSparkConfig, Convolutional, Encoder, Transformer
from edgespark.export.models.convolutional import ConvolutionalEncoder
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.vision import VisionTransformer

ENCODERS: dict[type[Encoder], type[nn.Module]] = {
    Transformer: VisionTransformer,
    Convolutional: ConvolutionalEncoder,
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
            }
        )
        self.LLM = LlamaDecoder(config.llm)  # the checkpoint's name for it
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, len(config.labels)) for name in config.modalities}
        )

    def perceive(self, modality: str, pixels: Tensor) -> Tensor:
        """Bring pixels [batch, bands, rows, columns] to tokens [batch, latents, width]."""
        return self.bridges[modality](self.encoders[modality](pixels))  # type: ignore[no-any-return] # nn.Module

    def embed(self, ids: Tensor) -> Tensor:
        """Look up ids int64 [batch, sequence]: [batch, sequence, width]."""
        return self.LLM.model.embed_tokens(ids)  # type: ignore[no-any-return] # nn.Module
