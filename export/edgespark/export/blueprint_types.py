"""What must hold for the types of a blueprint, told before the long work of tracing begins."""

from collections.abc import Iterator

from torch import nn

from edgespark.calibration.samples import SampleSet
from edgespark.export.blueprint import Blueprint
from edgespark.export.stage import Stage
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import File, Language, Port, Route, Score, State

PLAIN: dict[str, type] = {"name": str, "licence": str, "tokenizer": bytes, "card": bytes}
TUPLES: dict[str, type] = {
    "stages": Stage,
    "routes": Route,
    "samples": SampleSet,
    "scores": Score,
}
STAGE_TUPLES: dict[str, type] = {"inputs": Port, "outputs": Port, "states": State, "probes": dict}
NEEDED = ("stages", "probes")
"""Tuples that must not be empty."""
NO_DIGEST = "0" * 64


def check_types(blueprint: Blueprint) -> None:
    """Refuse fields of other types than they are annotated with, and a blueprint of no stages.

    InputError lists them all. `language` is called for a tokenizer of no place yet; what it raises
    passes through.
    """
    problems = [*_plain(blueprint, PLAIN), *_tuples(blueprint, TUPLES)]
    if isinstance(blueprint.stages, tuple):
        stages = [stage for stage in blueprint.stages if isinstance(stage, Stage)]
        problems += [f"stage {stage.name!r}: {each}" for stage in stages for each in _stage(stage)]
    problems += _language(blueprint)
    if problems:
        raise InputError(f"the blueprint cannot be exported: {'; '.join(problems)}")


def _plain(record: object, fields: dict[str, type]) -> Iterator[str]:
    for name, kind in fields.items():
        value = getattr(record, name)
        if not isinstance(value, kind):
            yield f"{name} is a {type(value).__name__}, expected {kind.__name__}"


def _tuples(record: object, fields: dict[str, type]) -> Iterator[str]:
    for name, kind in fields.items():
        value = getattr(record, name)
        if not isinstance(value, tuple):
            yield f"{name} is a {type(value).__name__}, expected a tuple of {kind.__name__}"
        elif not value and name in NEEDED:
            yield f"{name} is empty, expected one {kind.__name__} or more"
        else:
            wrong = {type(each).__name__ for each in value if not isinstance(each, kind)}
            if wrong:
                yield f"{name} holds {', '.join(sorted(wrong))}, expected {kind.__name__}"


def _stage(stage: Stage) -> Iterator[str]:
    yield from _plain(stage, {"name": str, "module": nn.Module})
    yield from _tuples(stage, STAGE_TUPLES)
    if not isinstance(stage.graph, bytes | None):
        yield f"graph is a {type(stage.graph).__name__}, expected bytes or None"


def _language(blueprint: Blueprint) -> Iterator[str]:
    if not callable(blueprint.language):
        yield f"language is a {type(blueprint.language).__name__}, expected a function of a File"
        return
    made = blueprint.language(File(path="tokenizer.json", bytes=0, sha256=NO_DIGEST))
    if not isinstance(made, Language):
        yield f"language() gives a {type(made).__name__}, expected a Language"
