"""Preprocessing as data: what is done to a modality's input before the first part sees it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgespark.runtime.sensory import Sensory

RasterDType = Literal["uint8", "uint16", "int16", "int32", "float32", "float64"]
PAD, MISSING, UNSEEN, FIRST = 0, 1, 2, 3
"""Ids of a table's cells that hold no value of their column; columns' own ids start at FIRST."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One band of an encoder's input.

    A raw value x becomes v = x * scale + offset (in the record's unit), is cut to [low, high],
    then given as (v - mean) / std. A masked pixel is given as v = mean. `wavelength` is the band's
    centre in nanometres, where it has one.
    """

    name: str
    wavelength: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    low: float
    high: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        """Refuse what cannot be divided by, and an empty span."""
        if self.std <= 0 or self.scale == 0:
            raise ValueError(f"band {self.name!r}: std must be positive and scale other than 0")
        if not self.low < self.high:
            raise ValueError(f"band {self.name!r}: low must be less than high")
        if self.wavelength is not None and self.wavelength <= 0:
            raise ValueError(f"band {self.name!r}: wavelength must be positive")


@dataclass(frozen=True, kw_only=True, slots=True)
class Imagery:
    """Rasters [bands, rows, columns], brought to the encoder's size by area averaging.

    Gives one array, `pixels`: float32 [1, bands, rows, columns]. `dtypes` are the sample types that
    the scale is meant for. `nodata` is the raw value that means "no measurement" where a file does
    not declare its own. Less than `min_valid` (0…1) of valid pixels is an error. `gsd` is the range
    of ground sampling distances, in metres per encoder pixel, that the model knows. `decibel` bands
    are averaged as power.
    """

    kind: Literal["imagery"] = "imagery"
    bands: tuple[Band, ...]
    rows: int
    columns: int
    dtypes: tuple[RasterDType, ...]
    unit: str
    nodata: float | None = None
    min_valid: float
    gsd_low: float
    gsd_high: float
    decibel: bool = False

    def __post_init__(self) -> None:
        """Refuse a record that no raster could satisfy."""
        if not self.bands or not self.dtypes or self.rows < 1 or self.columns < 1:
            raise ValueError("imagery needs bands, dtypes and a size")
        if not 0 < self.min_valid <= 1 or not 0 < self.gsd_low <= self.gsd_high:
            raise ValueError("imagery needs 0 < min_valid <= 1 and 0 < gsd_low <= gsd_high")


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Text, tokenised by the bundle's tokenizer.

    Gives one array, `ids`: int64 [1, tokens]. More than `max_tokens` tokens is an error.
    """

    kind: Literal["text"] = "text"
    max_tokens: int

    def __post_init__(self) -> None:
        """Refuse a text route that can hold nothing."""
        if self.max_tokens < 1:
            raise ValueError("a text route needs max_tokens >= 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Video: `count` frames spread evenly over a clip, each prepared as `frame` says.

    Gives one array, `frames`: float32 [1, count, bands, rows, columns].
    """

    kind: Literal["frames"] = "frames"
    count: int
    frame: Imagery

    def __post_init__(self) -> None:
        """Refuse a video of nothing."""
        if self.count < 1:
            raise ValueError("frames need count >= 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """Point clouds, as Point-BERT takes them (Julie-tang00/Point-BERT at ce5a6e1).

    Moved to their mean and divided by the greatest distance from it, farthest-point sampling keeps
    `count` of the points (all, where there are just so many); sampling again finds the centres of
    `groups` groups, each of the `neighbours` points nearest to its centre. Gives `neighbourhoods`,
    float32 [1, groups, neighbours, 3], relative to their centre, and `centres`, float32 [1, groups,
    3].
    """

    kind: Literal["points"] = "points"
    count: int
    groups: int
    neighbours: int

    def __post_init__(self) -> None:
        """Refuse more groups or neighbours than points."""
        if not 1 <= max(self.groups, self.neighbours) <= self.count or self.groups < 1:
            raise ValueError("points need 1 <= groups <= count and 1 <= neighbours <= count")
        if self.neighbours < 1:
            raise ValueError("points need neighbours >= 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One typed column of a table.

    A number x becomes the index of its bin: how many of the ascending `edges` are <= x. A category
    becomes its index among `values`.
    """

    name: str
    type: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse edges that do not ascend, values that repeat, and a mixture of both."""
        number = self.type == "number"
        if not (self.edges if number else self.values) or (self.values if number else self.edges):
            raise ValueError(f"column {self.name!r}: a number has edges, a category has values")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"column {self.name!r}: edges must ascend")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"column {self.name!r}: values must not repeat")

    @property
    def ids(self) -> int:
        """How many ids the column takes."""
        return len(self.edges) + 1 if self.type == "number" else len(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of typed columns, as ids of one vocabulary (IBM/TabFormer at ebb7cd6).

    A cell's id is FIRST, plus the ids of all columns before its own, plus its index; PAD, MISSING
    and UNSEEN stand for rows that are not there, empty cells, and categories that are none of the
    column's. At most `rows` rows are taken; fewer are padded. Gives one array, `cells`: int64 [1,
    rows, columns].
    """

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...]
    rows: int

    def __post_init__(self) -> None:
        """Refuse a table that holds nothing, and columns of one name."""
        names = [column.name for column in self.columns]
        if not names or self.rows < 1 or len(set(names)) < len(names):
            raise ValueError("a table needs rows >= 1 and columns of different names")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracks:
    """The last positions of a moving agent and of those around it (lssiair/TUTR at 655a756).

    Positions are in metres, `step` seconds apart. Gives `track`, float32 [1, observed, 2], relative
    to the agent's last position; `neighbours`, float32 [1, agents, observed, 2], relative to the
    same, the agent itself first, then the nearest others within `radius` metres at the last step,
    zero where there are none; and `present`, bool [1, agents]. Its anchor is where the agent's last
    velocity leads: [predicted, 2].
    """

    kind: Literal["tracks"] = "tracks"
    observed: int
    predicted: int
    step: float
    agents: int
    radius: float

    def __post_init__(self) -> None:
        """Refuse a velocity that cannot be told, and nothing to predict."""
        if self.observed < 2 or self.predicted < 1 or self.agents < 1:  # noqa: PLR2004 a velocity takes two
            raise ValueError("tracks need observed >= 2, predicted >= 1 and agents >= 1")
        if self.step <= 0 or self.radius <= 0:
            raise ValueError("tracks need step > 0 and radius > 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Time series at the nodes of a graph (XDZhelheim/STAEformer at 2dfb9e3).

    `nodes` are named in the order that the model learned; `interval` is the seconds from step to
    step. Gives one array, `series`: float32 [1, steps, nodes, 3] of (value - mean) / std, time of
    day in [0, 1) and day of week, 0 for Monday. Its anchor is the last value of each node:
    [predicted, nodes].
    """

    kind: Literal["series"] = "series"
    nodes: tuple[str, ...]
    steps: int
    predicted: int
    interval: float
    mean: float
    std: float
    unit: str

    def __post_init__(self) -> None:
        """Refuse what cannot be divided by, and a series of nothing."""
        if not self.nodes or len(set(self.nodes)) < len(self.nodes):
            raise ValueError("series need nodes, of different names")
        if self.steps < 1 or self.predicted < 1 or self.interval <= 0 or self.std <= 0:
            raise ValueError("series need steps, predicted >= 1, interval and std > 0")


Preprocessing: TypeAlias = Imagery | Frames | Points | Table | Tracks | Series | Text | Sensory
