"""Sizes of the models, as frozen records; nothing here needs torch."""

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from edgespark.runtime.manifest import Metric
from edgespark.runtime.preprocessing import Preprocessing


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Spectral:
    """A transformer over spectral groups: each band with its `group` - 1 neighbours is a token."""

    bands: int
    size: int
    group: int
    width: int
    depth: int
    heads: int
    hidden: int

    @property
    def tokens(self) -> int:
        """Number of output tokens: the bands and the class token."""
        return self.bands + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """Lynx's video path: the encoder and the bridge of the modality `of`, over several frames."""

    of: str
    frames: int
    image: Transformer

    @property
    def width(self) -> int:
        """Channels of an output token."""
        return self.image.width

    @property
    def tokens(self) -> int:
        """Number of output tokens: those of all frames."""
        return self.frames * self.image.tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class PointTransformer:
    """Point-BERT: groups of points, each a token of the mini-PointNet with `features` channels."""

    groups: int
    neighbours: int
    width: int
    depth: int
    heads: int
    features: int

    @property
    def tokens(self) -> int:
        """Number of output tokens: the groups and the class token."""
        return self.groups + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldTransformer:
    """TabFormer: each row's cells mixed by `layers` of width `field`, then one token per row."""

    vocabulary: int
    rows: int
    columns: int
    field: int
    layers: int
    heads: int
    width: int

    @property
    def tokens(self) -> int:
        """Number of output tokens: the rows."""
        return self.rows


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesTransformer:
    """STAEformer; the embeddings' widths are those of value, time of day, day of week, adaptive."""

    nodes: int
    steps: int
    predicted: int
    value: int
    day: int
    week: int
    adaptive: int
    hidden: int
    heads: int
    layers: int
    steps_per_day: int

    @property
    def channels(self) -> int:
        """Channels of one node at one step."""
        return self.value + self.day + self.week + self.adaptive

    @property
    def width(self) -> int:
        """Channels of an output token: all steps of a node."""
        return self.steps * self.channels

    @property
    def tokens(self) -> int:
        """Number of output tokens: the nodes."""
        return self.nodes


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackTransformer:
    """TUTR: one token per general motion mode, after the social decoder."""

    observed: int
    predicted: int
    agents: int
    modes: int
    width: int
    heads: int
    layers: int
    expansion: int

    @property
    def tokens(self) -> int:
        """Number of output tokens: the modes."""
        return self.modes


Encoder: TypeAlias = (
    Transformer
    | Convolutional
    | Spectral
    | Video
    | PointTransformer
    | FieldTransformer
    | SeriesTransformer
    | TrackTransformer
)


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


ANYTHING = "What is this?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a modality's head answers, and what is asked where nobody asks.

    `prompt` stands before the head reads. A classification has `labels`; a forecast has a `shape`,
    and its value is scale * output, in `unit`, added to the input's anchor; `metrics` judge it.
    """

    prompt: str
    question: str
    labels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    scale: float = 1.0
    unit: str = ""
    metrics: tuple[Metric, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers the head gives."""
        return len(self.labels) or prod(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllSparkConfig:
    """The whole chain: one encoder per modality, a bridge of one form for each, one LLM.

    `records` (how inputs are prepared), `prompts` and `tasks` are keyed by modality, the texts
    among them; a modality without a task has no head. `template` holds "{prompt}".
    """

    name: str
    records: dict[str, Preprocessing]
    encoders: dict[str, Encoder]
    texts: tuple[str, ...]
    bridge: Perceiver
    llm: Llama
    prompts: dict[str, str]
    tasks: dict[str, Task]
    template: str

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities, the texts last."""
        return (*self.encoders, *self.texts)

    @property
    def question(self) -> str:
        """What is asked where nobody asks, and the modality has no task that would."""
        return next((task.question for task in self.tasks.values()), ANYTHING)

    def owner(self, modality: str) -> str:
        """Name the modality whose encoder and bridge this one uses: nearly always itself."""
        size = self.encoders[modality]
        return size.of if isinstance(size, Video) else modality
