"""What a recipe gives: all that a bundle is made of, before anything is traced."""

from dataclasses import dataclass

from edgespark.calibration.samples import SampleSet
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import Route, Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """The bundle's Language record but for its file: see edgespark.runtime.manifest.Language."""

    tokenizer: bytes
    embedder: str
    decoder: str
    context: int
    begin: tuple[int, ...]
    end: tuple[int, ...]
    template: str
    question: str
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Blueprint:
    """A model ready for export: its stages in the order of the chain, its routes, its samples."""

    name: str
    licence: str
    stages: tuple[Stage, ...]
    routes: tuple[Route, ...]
    speech: Speech
    samples: tuple[SampleSet, ...]
    card: bytes
    scores: tuple[Score, ...]
