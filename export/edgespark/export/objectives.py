"""What the small model is trained for and judged by: right heads and right answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from edgespark.export.augment import MOVES, Arrays, Symmetry
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.sequences import IGNORED, Writer, hidden_states
from edgespark.export.worlds.dataset import Samples
from edgespark.export.worlds.subjects import Dialogue
from edgespark.export.worlds.world import ASKED, RECORDS
from edgespark.runtime.preprocessing import Frames, Imagery

STILL = Symmetry(turns=0, mirrored=False, angle=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """n samples as some modalities show them, in that order, and one dialogue about each.

    arrays: what each sensor's preparation gives, [n, …]; texts: n by text modality; truth: by
    modality whose head is asked, labels int64 [n] or what the head should give, float32 [n,
    outputs].
    """

    modalities: tuple[str, ...]
    arrays: dict[str, tuple[Tensor, ...]]
    texts: dict[str, list[str]]
    truth: dict[str, Tensor]
    dialogues: Sequence[Dialogue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Logits [batch, sequence, vocabulary] of the answers, and the tokens that are right."""

    logits: Tensor
    targets: Tensor


def normalise(record: Imagery, raw: NDArray[np.generic]) -> NDArray[np.float32]:
    """Prepare rasters [..., bands, rows, columns] of the encoder's size, as the runtime does."""
    columns = ("scale", "offset", "low", "high", "mean", "std")
    numbers = [np.array([getattr(b, name) for b in record.bands], np.float32) for name in columns]
    scale, offset, low, high, mean, std = (number[:, None, None] for number in numbers)
    values = np.clip(raw.astype(np.float32) * scale + offset, low, high)
    return np.asarray((values - mean) / std, np.float32)


def prepared(samples: Samples, modality: str, rows: NDArray[np.int64]) -> Arrays:
    """Give the prepared arrays of some samples, [n, …] each, in the order of the record."""
    record = RECORDS[modality]
    if isinstance(record, Imagery):
        return (normalise(record, samples.raw[modality][rows]),)
    if isinstance(record, Frames):
        return (normalise(record.frame, samples.raw[modality][rows]),)
    names = [name for name in samples.ready if name.startswith(f"{modality}.")]
    return tuple(samples.ready[name][rows] for name in names)


def tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    """Make torch's tensors of arrays, which may be views that run backwards."""
    return tuple(torch.from_numpy(np.ascontiguousarray(each)) for each in arrays)


def batch(  # noqa: PLR0913 a batch is made of exactly these
    config: AllSparkConfig,
    samples: Samples,
    rows: NDArray[np.int64],
    modalities: tuple[str, ...],
    asked: str,
    talks: Sequence[Dialogue],
    symmetry: Symmetry = STILL,
) -> Batch:
    """Take rows of the samples as a batch, in which the subject `asked` is asked about."""
    texts = [name for name in modalities if name in config.texts]
    sensors = [name for name in modalities if name not in texts]
    arrays = {name: prepared(samples, name, rows) for name in sensors}
    truth = {
        name: _truth(config, samples, rows, name, symmetry)
        for name in modalities
        if ASKED[name] == asked
    }
    return Batch(
        modalities=modalities,
        arrays={
            name: tensors(MOVES[name](symmetry, each) if name in MOVES else each)
            for name, each in arrays.items()
        },
        texts={name: samples.raw[name][rows].tolist() for name in texts},
        truth=truth,
        dialogues=talks,
    )


def _truth(
    config: AllSparkConfig,
    samples: Samples,
    rows: NDArray[np.int64],
    modality: str,
    symmetry: Symmetry,
) -> Tensor:
    task = config.tasks[modality]
    if task.labels:
        return torch.from_numpy(samples.label[ASKED[modality]][rows])
    wanted = (samples.target[modality][rows] - samples.anchor[modality][rows]) / task.scale
    (moved,) = MOVES[modality](symmetry, (wanted,)) if modality in MOVES else (wanted,)
    return torch.from_numpy(moved.reshape(len(rows), -1).astype(np.float32))


def heads(model: AllSpark, writer: Writer, batch: Batch) -> dict[str, Tensor]:
    """Run the task heads that are asked: [batch, outputs] by modality; all have one prompt."""
    context = _contexts(writer, batch)
    prompt = writer.head(next(iter(batch.truth)))
    ended = writer.write([ids + prompt for ids in context], [[] for _ in context])
    hidden, _ = hidden_states(model, ended, _tokens(model, batch))
    last = hidden[torch.arange(len(context)), ended.last]
    return {name: model.heads[name](last) for name in batch.truth}


def answers(model: AllSpark, writer: Writer, batch: Batch) -> Answers:
    """Run the dialogues with the right answers given (teacher forcing)."""
    talks = zip(_contexts(writer, batch), batch.dialogues, strict=True)
    asked = [ids + writer.ask(talk.question) for ids, talk in talks]
    told = [[*writer.encode(f" {talk.answer}"), writer.end] for talk in batch.dialogues]
    sequences = writer.write(asked, told)
    _, logits = hidden_states(model, sequences, _tokens(model, batch))
    return Answers(logits=logits, targets=sequences.targets)


def _tokens(model: AllSpark, batch: Batch) -> list[Tensor]:
    return [model.perceive(name, *arrays) for name, arrays in batch.arrays.items()]


def _contexts(writer: Writer, batch: Batch) -> list[list[int]]:
    rows: list[list[int]] = [[writer.begin] for _ in batch.dialogues]
    for name in batch.modalities:
        texts = batch.texts.get(name, [None] * len(rows))
        for ids, text in zip(rows, texts, strict=True):
            ids.extend(writer.block(name, text))
    return rows


def head_loss(scores: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """Average the heads' losses: cross-entropy of classes, smooth L1 of forecasts."""
    losses = [
        smooth_l1_loss(each.float(), truth[name], beta=0.2)
        if truth[name].is_floating_point()
        else cross_entropy(each, truth[name])
        for name, each in scores.items()
    ]
    return torch.stack(losses).mean()


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
