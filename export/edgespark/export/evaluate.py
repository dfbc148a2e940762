"""Judge a model on held-out samples: head and answer, every modality alone, and sets of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import nll_loss

from edgespark.export.baselines import BASELINES
from edgespark.export.judgement import Judgement
from edgespark.export.models.allspark import AllSpark
from edgespark.export.objectives import Batch, answered, answers, batch, heads, joint
from edgespark.export.sequences import Writer
from edgespark.export.worlds.dataset import Samples
from edgespark.export.worlds.subjects import Dialogue, Subject
from edgespark.export.worlds.world import ASKED, SUBJECTS
from edgespark.runtime.metrics import METRICS

SIZE = 100
FEW = 500
"""Samples on which several modalities together are judged."""


def held_out_dialogues(subject: Subject, labels: Sequence[int]) -> list[Dialogue]:
    """Give each held-out sample its question; a pure function of the labels."""
    rng = np.random.default_rng(1)
    return [subject.dialogue(rng, int(label)) for label in labels]


def evaluate(model: AllSpark, writer: Writer, samples: Samples) -> list[Judgement]:
    """Judge every modality alone, each of the place beside rgb, and all of these at once."""
    names = model.config.modalities
    places = [name for name in names if ASKED[name] == "place"]
    alone = [judge(model, writer, samples, (name,), len(samples)) for name in names]
    sets = [(places[0], name) for name in places[1:]] + [tuple(places)]
    return alone + [judge(model, writer, samples, each, FEW) for each in sets]


@torch.no_grad()
def judge(
    model: AllSpark, writer: Writer, samples: Samples, modalities: tuple[str, ...], count: int
) -> Judgement:
    """Judge the model on the first samples, seen by these modalities in this order."""
    model.eval()
    asked = ASKED[modalities[0]]
    talks = held_out_dialogues(SUBJECTS[asked], samples.label[asked].tolist())
    found: list[dict[str, float]] = []
    told = 0
    forecast: list[NDArray[np.float32]] = []
    for rows in _chunks(min(count, len(samples))):
        drawn = batch(model.config, samples, rows, modalities, asked, [talks[row] for row in rows])
        told += int(answered(answers(model, writer, drawn)).sum())
        if model.config.tasks[modalities[0]].labels:
            found.append(_classes(model, writer, drawn))
        else:
            forecast.append(heads(model, writer, drawn)[modalities[0]].numpy())
    n = min(count, len(samples))
    sums = {name: sum(each[name] for each in found) / n for name in (found[0] if found else {})}
    errors = _errors(model, samples, modalities[0], np.concatenate(forecast)) if forecast else {}
    return Judgement(
        modalities=modalities,
        n=n,
        answer=told / n,
        head=sums.get("head"),
        log_loss=sums.get("log_loss"),
        errors=errors,
        baselines=_baselines(model, samples, modalities[0], n) if forecast else {},
    )


def _classes(model: AllSpark, writer: Writer, drawn: Batch) -> dict[str, float]:
    logs = joint(heads(model, writer, drawn))
    labels = next(iter(drawn.truth.values()))
    return {
        "head": float((logs.argmax(-1) == labels).sum()),
        "log_loss": float(nll_loss(logs, labels, reduction="sum")),
    }


def _errors(
    model: AllSpark, samples: Samples, modality: str, outputs: NDArray[np.float32]
) -> dict[str, float]:
    task = model.config.tasks[modality]
    n = len(outputs)
    told = samples.anchor[modality][:n] + task.scale * outputs.reshape(n, *task.shape)
    return _metrics(model, samples, modality, told)


def _metrics(
    model: AllSpark, samples: Samples, modality: str, told: NDArray[np.generic]
) -> dict[str, float]:
    wanted = samples.target[modality][: len(told)]
    return {
        name: float(np.mean([METRICS[name](*pair) for pair in zip(told, wanted, strict=True)]))
        for name in model.config.tasks[modality].metrics
    }


def _baselines(
    model: AllSpark, samples: Samples, modality: str, count: int
) -> dict[str, dict[str, float]]:
    raw, predicted = samples.raw[modality][:count], model.config.tasks[modality].shape[0]
    return {
        name: _metrics(model, samples, modality, forecast(raw, predicted))
        for name, forecast in BASELINES[modality].items()
    }


def _chunks(count: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, SIZE):
        yield np.arange(start, min(start + SIZE, count))
