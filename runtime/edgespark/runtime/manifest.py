"""The manifest: the one file that says what a bundle holds and how its parts are chained.

It names every other file with size and SHA-256; what is made later on a device lies under
`derived/` and is no part of the bundle. `docs/bundle.md` states the format.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from edgespark.runtime.choices import Choice
from edgespark.runtime.generation import Generation
from edgespark.runtime.integers import Integers
from edgespark.runtime.preprocessing import Preprocessing

FORMAT = "edgespark-bundle"
VERSION = 5
FILE = "manifest.json"
DERIVED = "derived"

DType = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]
Precision = Literal["fp32", "fp16", "int8", "int4"]
Role = Literal["encoder", "bridge", "embedder", "decoder", "head"]
Metric = Literal["ADE", "FDE", "MAE"]
DIGEST_LENGTH = 64
UNSEALED = "0" * DIGEST_LENGTH


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of the bundle: where it lies, its size in bytes, and what its bytes must hash to."""

    path: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a path that leaves the bundle, and a digest that is none."""
        path = PurePosixPath(self.path)
        inside = path.parts and not path.is_absolute() and ".." not in path.parts
        if not inside or "\\" in self.path or "\0" in self.path or str(path) != self.path:
            raise ValueError(f"path {self.path!r} leaves the bundle or is not in its plainest form")
        if path.parts[0] in (FILE, DERIVED):
            raise ValueError(f"path {self.path!r} is reserved")
        if len(self.sha256) != DIGEST_LENGTH or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"sha256 {self.sha256!r} is not 64 lower-case hexadecimal digits")
        if self.bytes < 0:
            raise ValueError(f"a file of {self.bytes} bytes cannot be")


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A named axis with the sizes it may take; it is static where both are the same."""

    name: str
    low: int
    high: int

    def __post_init__(self) -> None:
        """Refuse an empty span of sizes."""
        if not 0 <= self.low <= self.high:
            raise ValueError(f"axis {self.name!r}: 0 <= {self.low} <= {self.high} does not hold")

    @property
    def static(self) -> bool:
        """Whether only one size is allowed."""
        return self.low == self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """One named tensor that a part takes or gives."""

    name: str
    dtype: DType
    axes: tuple[Axis, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A tensor that a decoder carries from step to step (KV), sequence-major.

    `past` is read: [past, batch, heads, head_dim]. `new` is given, [sequence, batch, heads,
    head_dim]: rows of this step alone, which the runtime appends to `past` in place. Where both are
    int8, a value is its code times `step`; other states have no step.
    """

    past: Port
    new: Port
    step: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """One ONNX graph of a part, at one precision.

    `limit` is the greatest |output - reference| that `verify` lets pass, in standard deviations of
    the reference. `data` are its weight files, beside it; `weights` is how integers were made.
    """

    precision: Precision
    file: File
    data: tuple[File, ...] = ()
    states: tuple[State, ...] = ()
    limit: float
    weights: Integers | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One stage of the chain: its ports, its graph per precision, and its reference outputs.

    `reference` is an .npz with arrays `K.in.PORT` and `K.out.PORT` for K = 0, 1, …: a few sets of
    inputs, and what the PyTorch module gave for each. Floating-point arrays are float32, whatever
    the port's dtype. `calibration` is what was gathered on data for narrower graphs, if any was.
    """

    name: str
    role: Role
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    graphs: tuple[Graph, ...]
    reference: File
    calibration: File | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """Carries an array to an input port.

    `source` is "part.port", or the bare name of an array that the preprocessing gives.
    """

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """How a route's task is answered: a part that reads the decoder's last hidden state.

    `prompt` stands after the modality's tokens. `labels` name the classes of a classification. A
    regression has none: its values, in `unit`, are scale * scores, brought to `shape` and, where it
    is `anchored`, added to the anchor of the prepared input. `metrics` are those that judge it, the
    first foremost: ADE and FDE are the mean distance of [steps, 2] positions over all steps and at
    the last one, MAE is the mean absolute error.
    """

    part: str
    task: Literal["classification", "regression"]
    prompt: str
    labels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    scale: float = 1.0
    unit: str = ""
    anchored: bool = False
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How one modality reaches the language space.

    `wires` lead from the arrays of the preprocessing through the parts; a part runs when the last
    wire to it is reached. `output` ("part.port") gives [batch, tokens, width] in the decoder's
    embedding space. `prompt` is the modality prompt, the text before those tokens. `question` is
    what the command line asks with no prompt and this modality first ("": the language's).
    """

    modality: str
    preprocessing: Preprocessing
    wires: tuple[Wire, ...]
    output: str
    prompt: str
    question: str = ""
    head: Head | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """The LLM: its tokenizer, its parts, and how a prompt is laid out.

    The sequence is [begin][for each modality: its prompt, its tokens][template]. `template` holds
    "{prompt}" once. `context` is the most positions that the state can hold. `question` is what
    the command line asks with no prompt. `decodings`, by name, forget so many last positions of a
    prompt with modalities; the first new tokens take their places, as in some code.
    """

    tokenizer: File
    embedder: str
    decoder: str
    context: int
    begin: tuple[int, ...]
    end: tuple[int, ...]
    template: str
    question: str
    stop: tuple[str, ...] = ()
    generation: Generation = field(default_factory=Generation)
    decodings: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A named choice of one precision for each part."""

    name: str
    precisions: dict[str, Precision]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """A held-out set of one modality: an .npz with `input`, `question`, `answer`, and more.

    `input` [n, …] is raw, as a user would give it; `label` [n] indexes the labels of a
    classification, `target` [n, …] is what a regression should give. `question` and `answer` [n]
    are text. Row i of every modality's set with the same labels shows the same scene.
    """

    modality: str
    file: File


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What a graph's outputs differed by from PyTorch's when the bundle was made.

    `error` is in standard deviations of the reference output, the worst of all probes; `ms` is the
    time of the first; `backend` names what ran the graph. A decoder that was proved layer by layer
    has the error of each in `layers`, each fed what PyTorch gave to it, and last the head's.
    `share` (0…1) is how much is in that precision: of the work of encoder, bridge or head, of the
    bytes of weights otherwise. Keys of `added` and `kept` are layers, by the tensor that each
    gives: `added` is what it alone adds to the error at the chain's end, `kept` why it is wider.
    """

    part: str
    precision: Precision
    error: float
    ms: float
    backend: str
    layers: tuple[float, ...] = ()
    share: float | None = None
    added: dict[str, float] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A task score on held-out data, per variant, measured when the model was trained.

    `baselines` are what simpler methods, by their name, score on the same data.
    """

    modality: str
    task: str
    metric: str
    higher_is_better: bool
    n: int
    values: dict[str, float]
    baselines: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What was measured when the bundle was made, and with which versions."""

    versions: dict[str, str]
    parity: tuple[Measurement, ...]
    scores: tuple[Score, ...] = ()
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """All that the runtime needs to know of a bundle.

    `preferred` names the variant that each device takes when none is asked for. `sha256` digests
    all the rest but the files' sizes and digests; whoever writes the file fills it in.
    """

    format: str = FORMAT
    version: int = VERSION
    name: str
    licence: str
    parts: tuple[Part, ...]
    routes: tuple[Route, ...]
    language: Language
    variants: tuple[Variant, ...]
    preferred: dict[str, str]
    samples: tuple[Samples, ...] = ()
    card: File | None = None
    evidence: Evidence
    sha256: str = field(default=UNSEALED, compare=False)

    def part(self, name: str) -> Part:
        """Return the part of that name; KeyError where there is none."""
        return {part.name: part for part in self.parts}[name]

    def route(self, modality: str) -> Route:
        """Return the route of that modality; KeyError where there is none."""
        return {route.modality: route for route in self.routes}[modality]
