"""What a recipe gives: all that a bundle is made of, before anything is traced."""

from collections.abc import Callable
from dataclasses import dataclass

from edgespark.calibration.samples import SampleSet
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import File, Language, Precision, Route, Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Blueprint:
    """A model ready for export: its stages in the order of the chain, its routes, its samples.

    `tokenizer` is the content of tokenizer.json; `language` makes the record of the LLM's side once
    it is known where in the bundle that file lies.
    """

    name: str
    licence: str
    stages: tuple[Stage, ...]
    routes: tuple[Route, ...]
    tokenizer: bytes
    language: Callable[[File], Language]
    samples: tuple[SampleSet, ...]
    card: bytes
    scores: tuple[Score, ...]
    precisions: tuple[Precision, ...] = ("fp32",)
    fingerprint: str = ""
