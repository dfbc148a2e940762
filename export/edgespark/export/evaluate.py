"""Judge a model on held-out scenes: head and answer, every modality alone, and pairs of them."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import nll_loss

from edgespark.export.judgement import Judgement
from edgespark.export.models.allspark import AllSpark
from edgespark.export.objectives import answered, answers, batch, heads, joint
from edgespark.export.sequences import Writer
from edgespark.export.worlds.dataset import Scenes
from edgespark.export.worlds.words import Dialogue, dialogue

SIZE = 100


def held_out_dialogues(labels: Sequence[int]) -> list[Dialogue]:
    """Give each held-out scene its question; a pure function of the labels."""
    rng = np.random.default_rng(1)
    return [dialogue(rng, int(label)) for label in labels]


def evaluate(model: AllSpark, writer: Writer, scenes: Scenes) -> list[Judgement]:
    """Judge every modality alone, then every pair."""
    names = model.config.modalities
    chosen = itertools.chain.from_iterable(itertools.combinations(names, k) for k in (1, 2))
    return [judge(model, writer, scenes, modalities) for modalities in chosen]


@torch.no_grad()
def judge(
    model: AllSpark, writer: Writer, scenes: Scenes, modalities: tuple[str, ...]
) -> Judgement:
    """Judge the model on all scenes, seen by these modalities in this order."""
    model.eval()
    talks = held_out_dialogues(scenes.label.tolist())
    right, told, losses = 0, 0, 0.0
    for rows in _chunks(len(scenes)):
        drawn = batch(scenes, rows, modalities, [talks[row] for row in rows])
        logs = joint(heads(model, writer, drawn))
        right += int((logs.argmax(-1) == drawn.labels).sum())
        told += int(answered(answers(model, writer, drawn)).sum())
        losses += float(nll_loss(logs, drawn.labels, reduction="sum"))
    n = len(scenes)
    return Judgement(
        modalities=modalities, n=n, head=right / n, answer=told / n, log_loss=losses / n
    )


def _chunks(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, SIZE):
        yield np.arange(start, min(start + SIZE, count))
