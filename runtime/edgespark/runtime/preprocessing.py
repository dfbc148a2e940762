"""Preprocessing as data: what is done to a modality's input before the first part sees it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

RasterDType = Literal["uint8", "uint16", "int16", "int32", "float32", "float64"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One band of an encoder's input.

    A raw value x becomes v = x * scale + offset (in the record's unit), is cut to [low, high],
    then given as (v - mean) / std. A masked pixel is given as v = mean.
    """

    name: str
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


Preprocessing: TypeAlias = Imagery | Text
