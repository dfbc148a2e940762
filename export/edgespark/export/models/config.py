"""Sizes of the models, as frozen records; nothing here needs torch."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Transformer:
    """An EVA-type vision transformer over square patches; `size` and `patch` in pixels."""

    bands: int
    size: int
    patch: int
    width: int
    depth: int
    heads: int
    hidden: int

    @property
    def tokens(self) -> int:
        """Number of output tokens: the patches and the class token."""
        return (self.size // self.patch) ** 2 + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Convolutional:
    """A residual CNN; each of `widths` halves the size once, and the last one is the tokens'."""

    bands: int
    size: int
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Channels of an output token."""
        return self.widths[-1]

    @property
    def tokens(self) -> int:
        """Number of output tokens: the cells of the last feature map."""
        return (self.size >> len(self.widths)) ** 2


Encoder: TypeAlias = Transformer | Convolutional


@dataclass(frozen=True, kw_only=True, slots=True)
class Perceiver:
    """The bridge: `latents` learnable queries over `depth` layers of cross-attention."""

    latents: int
    depth: int
    heads: int
    head_dim: int
    multiple: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama:
    """A LLaMA-type decoder; `adapters` are the layers that carry one, of width `bottleneck`."""

    vocabulary: int
    width: int
    depth: int
    heads: int
    hidden: int
    context: int
    adapters: tuple[int, ...]
    bottleneck: int
    epsilon: float = 1e-6
    theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The text around the tokens: a prompt per modality, the heads' prompt, the template."""

    modality: dict[str, str]
    head: str
    template: str
    question: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AllSparkConfig:
    """The whole chain: one encoder per sensor, a bridge of one form for each, one LLM."""

    name: str
    encoders: dict[str, Encoder]
    bridge: Perceiver
    llm: Llama
    labels: tuple[str, ...]
    layout: Layout
    texts: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Sensors first, then the modalities that are text."""
        return (*self.encoders, *self.texts)
