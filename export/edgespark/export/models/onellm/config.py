"""Sizes of OneLLM, as frozen records; nothing here needs torch.

Facts of csuhan/OneLLM at 8587a47 and of OpenAI's CLIP ViT-L/14.
"""

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from edgespark.export.models.config import Llama

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patches:
    """CLIP's own tokenizer: a token per square patch of each frame; `frames` 0 is one picture."""

    frames: int
    size: int
    patch: int

    @property
    def shape(self) -> Shape:
        """Axes of the input: pixels, or frames of them."""
        picture = (3, self.size, self.size)
        return (1, self.frames, *picture) if self.frames else (1, *picture)

    @property
    def tokens(self) -> int:
        """Number of tokens of a frame, the class token among them."""
        return (self.size // self.patch) ** 2 + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Spectrogram:
    """A token per square patch of `kernel` mels and frames, one every `stride` of both."""

    mels: int
    frames: int
    kernel: int
    stride: int

    @property
    def shape(self) -> Shape:
        """Axes of the input: log-mel energies."""
        return 1, 1, self.mels, self.frames

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token among them."""
        return prod((each - self.kernel) // self.stride + 1 for each in self.shape[2:]) + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PointGroups:
    """A token per group of neighbouring points, whose places and colours are `channels` values."""

    groups: int
    neighbours: int
    channels: int

    @property
    def shape(self) -> Shape:
        """Axes of the input: the points of each group."""
        return 1, self.groups, self.neighbours, self.channels

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token among them."""
        return self.groups + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """A token per window of `kernel` samples, one at each sample."""

    channels: int
    samples: int
    kernel: int

    @property
    def shape(self) -> Shape:
        """Axes of the input: samples of each channel."""
        return 1, self.channels, self.samples

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token among them."""
        return self.samples - self.kernel + 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """A vector of voxels, mapped as one to `mapped` tokens."""

    voxels: int
    mapped: int

    @property
    def shape(self) -> Shape:
        """Axes of the input: one vector."""
        return 1, 1, self.voxels

    @property
    def tokens(self) -> int:
        """Number of tokens, the class token among them."""
        return self.mapped + 1


Tokenizing: TypeAlias = Patches | Spectrogram | PointGroups | Signal | Scan


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """CLIP's vision transformer: the trunk of all modalities."""

    width: int
    depth: int
    heads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipText:
    """What a checkpoint keeps of CLIP beside the trunk; nothing of it is ever run."""

    width: int
    context: int
    vocabulary: int
    joint: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """The experts: `count` stacks of LLaMA blocks over `latents` rows and a modality's tokens."""

    count: int
    depth: int
    heads: int
    hidden: int
    latents: int
    epsilon: float = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class OneLLMConfig:
    """The whole chain; `tokenizers` are keyed by modality, and one at least is of `Patches`."""

    name: str
    tokenizers: dict[str, Tokenizing]
    clip: Clip
    clip_text: ClipText
    experts: Mixture
    llm: Llama

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities."""
        return tuple(self.tokenizers)

    @property
    def tokens(self) -> int:
        """Rows that a modality takes in the LLM's sequence: the latents between two tags."""
        return self.experts.latents + 2


def hidden(width: int, multiple: int = 256) -> int:
    """Return LLaMA's width of the feed-forward layer: 8/3 of `width`, up to a `multiple`."""
    return -(-int(8 * width / 3) // multiple) * multiple


CLIP_SIDE, CLIP_PATCH = 224, 14
PICTURE, VIDEO, PAIR = (
    Patches(frames=frames, size=CLIP_SIDE, patch=CLIP_PATCH) for frames in (0, 15, 2)
)
TOKENIZERS: dict[str, Tokenizing] = {
    "image": PICTURE,
    "video": VIDEO,
    "audio": Spectrogram(mels=128, frames=1024, kernel=16, stride=10),
    "point": PointGroups(groups=1024, neighbours=32, channels=6),
    "rgbd": PAIR,
    "rgbn": PAIR,
    "fmri": Scan(voxels=15724, mapped=8),
    "imu": Signal(channels=6, samples=400, kernel=10),
}
ONELLM = OneLLMConfig(
    name="onellm-7b",
    tokenizers=TOKENIZERS,
    clip=Clip(width=1024, depth=24, heads=16),
    clip_text=ClipText(width=768, context=77, vocabulary=49408, joint=768),
    experts=Mixture(count=3, depth=8, heads=16, hidden=hidden(1024), latents=30),
    llm=Llama(
        vocabulary=32000,
        width=4096,
        depth=32,
        heads=32,
        hidden=hidden(4096),
        context=2048,
        adapters=(),
        bottleneck=0,
        epsilon=1e-5,
    ),
)
