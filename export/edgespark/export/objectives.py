"""What the small model is trained for and judged by: right heads and right answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from edgespark.export.models.allspark import AllSpark
from edgespark.export.sequences import IGNORED, Writer, hidden_states
from edgespark.export.worlds.dataset import Scenes
from edgespark.export.worlds.sensors import SENSORS
from edgespark.export.worlds.words import Dialogue


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """n scenes as some modalities show them, in that order, and one dialogue about each.

    pixels: float32 [n, bands, rows, columns] by sensor, normalised; texts: n by text modality;
    labels: int64 [n].
    """

    modalities: tuple[str, ...]
    pixels: dict[str, Tensor]
    texts: dict[str, list[str]]
    labels: Tensor
    dialogues: Sequence[Dialogue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Logits [batch, sequence, vocabulary] of the answers, and the tokens that are right."""

    logits: Tensor
    targets: Tensor


def normalise(modality: str, raw: NDArray[np.generic]) -> NDArray[np.float32]:
    """Prepare rasters [n, bands, rows, columns] of the encoder's size, as the runtime does."""
    bands = SENSORS[modality].bands
    columns = ("scale", "offset", "low", "high", "mean", "std")
    numbers = [np.array([getattr(band, name) for band in bands], np.float32) for name in columns]
    scale, offset, low, high, mean, std = (number[:, None, None] for number in numbers)
    values = np.clip(raw.astype(np.float32) * scale + offset, low, high)
    return np.asarray((values - mean) / std, np.float32)


def batch(
    scenes: Scenes, rows: NDArray[np.int64], modalities: tuple[str, ...], talks: Sequence[Dialogue]
) -> Batch:
    """Take rows of the scenes as a batch."""
    return Batch(
        modalities=modalities,
        pixels={
            name: torch.from_numpy(normalise(name, getattr(scenes, name)[rows]))
            for name in modalities
            if name in SENSORS
        },
        texts={name: scenes.language[rows].tolist() for name in modalities if name not in SENSORS},
        labels=torch.from_numpy(scenes.label[rows]),
        dialogues=talks,
    )


def heads(model: AllSpark, writer: Writer, batch: Batch) -> dict[str, Tensor]:
    """Run the task heads: scores (logits) [batch, classes] by modality."""
    context = _contexts(writer, batch)
    ended = writer.write([ids + writer.head for ids in context], [[] for _ in context])
    hidden, _ = hidden_states(model, ended, _tokens(model, batch))
    last = hidden[torch.arange(len(context)), ended.last]
    return {name: model.heads[name](last) for name in batch.modalities}


def answers(model: AllSpark, writer: Writer, batch: Batch) -> Answers:
    """Run the dialogues with the right answers given (teacher forcing)."""
    talks = zip(_contexts(writer, batch), batch.dialogues, strict=True)
    asked = [ids + writer.ask(talk.question) for ids, talk in talks]
    told = [[*writer.encode(f" {talk.answer}"), writer.end] for talk in batch.dialogues]
    sequences = writer.write(asked, told)
    _, logits = hidden_states(model, sequences, _tokens(model, batch))
    return Answers(logits=logits, targets=sequences.targets)


def _tokens(model: AllSpark, batch: Batch) -> list[Tensor]:
    return [model.perceive(name, pixels) for name, pixels in batch.pixels.items()]


def _contexts(writer: Writer, batch: Batch) -> list[list[int]]:
    rows: list[list[int]] = [[writer.begin] for _ in batch.dialogues]
    for name in batch.modalities:
        texts = batch.texts.get(name, [None] * len(rows))
        for ids, text in zip(rows, texts, strict=True):
            ids.extend(writer.block(name, text))
    return rows


def head_loss(scores: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Average the cross-entropy of the heads."""
    return torch.stack([cross_entropy(each, labels) for each in scores.values()]).mean()


def answer_loss(told: Answers) -> Tensor:
    """Average the cross-entropy of the answers' tokens."""
    return cross_entropy(told.logits.flatten(0, 1), told.targets.flatten())


def joint(scores: dict[str, Tensor]) -> Tensor:
    """Average the heads' log-probabilities, as `classify` does: log-probabilities again."""
    logs = torch.stack([each.log_softmax(-1) for each in scores.values()])
    return logs.mean(0).log_softmax(-1)


def answered(told: Answers) -> Tensor:
    """Tell, per row, whether greedy decoding would give exactly the right answer.

    Greedy decoding follows the right tokens as long as each is the likeliest one, so no decoding is
    needed to decide it.
    """
    right = told.logits.argmax(-1) == told.targets
    return (right | (told.targets == IGNORED)).all(-1)
