"""Train allspark-tiny from scratch: `python -m edgespark.export.train --out DIR`."""

import argparse
import copy
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import torch

from edgespark.export.card import Schedule, texts
from edgespark.export.evaluate import evaluate
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.objectives import Batch, answer_loss, answers, batch, head_loss, heads
from edgespark.export.sequences import Writer
from edgespark.export.weights import halved, write
from edgespark.export.worlds.dataset import HELD_OUT, TRAIN, Scenes, batches, gather
from edgespark.export.worlds.tokens import fixed_texts, train_tokenizer
from edgespark.export.worlds.words import dialogue
from edgespark.runtime.progress import track

HEADS = 0.5  # share of the steps that train the heads; the others train the answers
EASY = {"language": 0.5}  # learned sooner than the sensors, and so drawn less often


def subsets(modalities: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """Draw which modalities a batch shows, and in which order: one of them seven times in ten."""
    count = int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
    weights = np.array([EASY.get(name, 1.0) for name in modalities])
    drawn = rng.choice(modalities, count, replace=False, p=weights / weights.sum())
    return tuple(str(name) for name in drawn)


def turned(scenes: Scenes, rng: np.random.Generator) -> Scenes:
    """Turn and mirror all scenes at once, by one of the square's eight symmetries."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    changed = {}
    for name in ("rgb", "msi", "sar"):
        array = np.rot90(getattr(scenes, name), turns, (2, 3))
        changed[name] = array[..., ::-1] if mirrored else array
    return Scenes(**changed, label=scenes.label, language=scenes.language)


def train(model: AllSpark, writer: Writer, scenes: Scenes, schedule: Schedule) -> AllSpark:
    """Train on the scenes and return the moving average of the model."""
    rng = np.random.default_rng(schedule.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), schedule.rate, (0.9, 0.98), weight_decay=schedule.decay, fused=True
    )
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.rate, schedule.steps, pct_start=schedule.warmup / schedule.steps
    )
    averaged = copy.deepcopy(model)
    draws = itertools.islice(batches(rng, len(scenes), schedule.size), schedule.steps)
    with track(draws, "train", schedule.steps, asked=True) as shown:
        for step, rows in enumerate(shown):
            view = turned(scenes, rng)
            talks = [dialogue(rng, int(label)) for label in scenes.label[rows]]
            drawn = batch(view, rows, subsets(TINY.modalities, rng), talks)
            update(model, optimiser, objective(model, writer, drawn, rng))
            pace.step()
            follow(averaged, model, min(schedule.average, step / (step + 10)))
    return averaged.eval()


def objective(
    model: AllSpark, writer: Writer, drawn: Batch, rng: np.random.Generator
) -> torch.Tensor:
    """Give the loss of the heads or of the answers, either as often; bfloat16 halves the time."""
    with torch.autocast("cpu", torch.bfloat16):
        if rng.random() < HEADS:
            return head_loss(heads(model, writer, drawn), drawn.labels)
        return answer_loss(answers(model, writer, drawn))


def update(model: AllSpark, optimiser: torch.optim.Optimizer, cost: torch.Tensor) -> None:
    """Take one step down the loss."""
    optimiser.zero_grad()
    cost.backward()  # type: ignore[no-untyped-call] # torch declares no types here
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


@torch.no_grad()
def follow(averaged: AllSpark, model: AllSpark, decay: float) -> None:
    """Move the averaged weights towards the model's; statistics of batch norms are copied."""
    for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(now, 1 - decay)
    for held, current in zip(averaged.buffers(), model.buffers(), strict=True):
        held.copy_(current)


def main(arguments: list[str]) -> int:
    """Train, judge on held-out scenes, and write weights, tokenizer, scores and card."""
    parser = argparse.ArgumentParser(prog="python -m edgespark.export.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    parser.add_argument("--steps", type=int, default=Schedule().steps)
    parser.add_argument("--scenes", type=int, default=Schedule().scenes)
    options = parser.parse_args(arguments)
    schedule = Schedule(steps=options.steps, scenes=options.scenes)
    started = time.monotonic()
    torch.manual_seed(schedule.seed)
    tokenizer = train_tokenizer(TINY.llm.vocabulary, fixed_texts(TINY))
    writer = Writer(TINY, tokenizer)
    model = train(AllSpark(TINY), writer, gather(TRAIN, schedule.scenes), schedule)
    rounded = AllSpark(TINY)
    rounded.load_state_dict(halved(model))
    found = evaluate(rounded, writer, gather(HELD_OUT, schedule.held_out))
    minutes = (time.monotonic() - started) / 60
    write(options.out, rounded, tokenizer, texts(schedule, found, minutes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
