"""AllSpark: one encoder and one bridge per sensor, one LLM, one task head per modality."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgespark.calibration.samples import SampleSet
from edgespark.export.blueprint import Blueprint
from edgespark.export.evaluate import held_out_dialogues
from edgespark.export.judgement import Judgement
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.models.tiny import TINY
from edgespark.export.objectives import prepared, tensors
from edgespark.export.recipes.routes import chain, choose
from edgespark.export.weights import SHIPPED, Checkpoint, checkpoint
from edgespark.export.worlds.dataset import Samples, make
from edgespark.export.worlds.world import ASKED, SUBJECTS
from edgespark.runtime.manifest import Score
from edgespark.runtime.metrics import forecast_tasks

CONFIGS = {"allspark-tiny": TINY}
SAMPLE_STREAM, SAMPLE_COUNT = 3, 200


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model of that name; see edgespark.export.recipes.Recipe."""
    config = CONFIGS[name]
    chosen = choose(config, modalities)
    model = AllSpark(config)
    source = checkpoint(folder or SHIPPED / name)
    source.fill(model)
    held = make(SAMPLE_STREAM, 0, SAMPLE_COUNT)
    sensors = [modality for modality in chosen if modality in config.encoders]
    probes = {each: tensors(prepared(held, each, np.arange(5))) for each in sensors}
    return replace(
        chain(model, source.tokenizer, probes, chosen, source.card),
        samples=tuple(samples(config, held, modality) for modality in chosen),
        scores=scores(source, chosen),
    )


def samples(config: AllSparkConfig, held: Samples, modality: str) -> SampleSet:
    """Give held-out samples as one modality shows them, with the question asked about each."""
    asked = ASKED[modality]
    labels = held.label[asked]
    talks = held_out_dialogues(SUBJECTS[asked], labels.tolist())
    return SampleSet(
        modality=modality,
        input=held.raw[modality],
        label=labels if config.tasks[modality].labels else None,
        target=held.target.get(modality),
        question=np.array([talk.question for talk in talks]),
        answer=np.array([talk.answer for talk in talks]),
    )


def scores(source: Checkpoint, chosen: tuple[str, ...]) -> tuple[Score, ...]:
    """Give the scores that the weights had when they were trained, for each modality alone."""
    alone = [each for each in source.scores.judgements if len(each.modalities) == 1]
    return tuple(score for each in alone if each.modalities[0] in chosen for score in _scores(each))


def _scores(judged: Judgement) -> Iterator[Score]:
    (modality,) = judged.modalities
    shares = {"head": judged.head, "answer": judged.answer}
    for task, share in shares.items():
        if share is not None:
            yield Score(
                modality=modality,
                task=task,
                metric="accuracy",
                higher_is_better=True,
                n=judged.n,
                values={"fp32": share},
            )
    for task, metric in zip(forecast_tasks(judged.errors), judged.errors, strict=True):
        yield Score(
            modality=modality,
            task=task,
            metric=metric,
            higher_is_better=False,
            n=judged.n,
            values={"fp32": judged.errors[metric]},
            baselines={name: each[metric] for name, each in judged.baselines.items()},
        )
