"""Train allspark-tiny from scratch: `python -m edgespark.export.train --out DIR`."""

import argparse
import copy
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from edgespark.export.augment import Symmetry
from edgespark.export.card import Phase, Schedule, texts
from edgespark.export.evaluate import evaluate
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.models.tiny import TINY
from edgespark.export.models.tracks import Tutr
from edgespark.export.modes import motion_modes
from edgespark.export.objectives import Batch, answer_loss, answers, batch, head_loss, heads
from edgespark.export.sequences import Writer
from edgespark.export.weights import halved, write
from edgespark.export.worlds.dataset import HELD_OUT, TRAIN, Samples, batches, gather
from edgespark.export.worlds.tokens import fixed_texts, train_tokenizer
from edgespark.export.worlds.world import ASKED, SUBJECTS
from edgespark.runtime.progress import track

HEADS = 0.5  # share of the steps that train the heads; the others train the answers
COUNTS = (0.75, 0.17, 0.08)  # how often a batch shows one modality, two, three
MATES = 0.8  # how often the others beside the first show the same thing as it


def subsets(
    modalities: tuple[str, ...], weights: Mapping[str, float], rng: np.random.Generator
) -> tuple[str, ...]:
    """Draw which modalities a batch shows, and in which order."""
    count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
    drawn = [_one(modalities, weights, rng)]
    while len(drawn) < count:
        others = [name for name in modalities if name not in drawn]
        mates = [name for name in others if ASKED[name] == ASKED[drawn[0]]]
        drawn.append(_one(mates if mates and rng.random() < MATES else others, weights, rng))
    return tuple(str(name) for name in rng.permutation(drawn))


def _one(names: Sequence[str], weights: Mapping[str, float], rng: np.random.Generator) -> str:
    shares = np.array([weights.get(name, 1.0) for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


def train(model: AllSpark, writer: Writer, samples: Samples, schedule: Schedule) -> AllSpark:
    """Train on the samples, phase after phase, and return the moving average of the model."""
    for number, phase in enumerate(schedule.phases):
        rng = np.random.default_rng(schedule.seed + number)
        model = run(model, writer, samples, schedule, phase, rng)
    return model.eval()


def run(  # noqa: PLR0913 a phase is run from exactly these
    model: AllSpark,
    writer: Writer,
    samples: Samples,
    schedule: Schedule,
    phase: Phase,
    rng: np.random.Generator,
) -> AllSpark:
    """Run one phase and return the moving average of the model."""
    model.train()
    optimiser = torch.optim.AdamW(
        model.parameters(), phase.rate, (0.9, 0.98), weight_decay=schedule.decay, fused=True
    )
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, phase.rate, phase.steps, pct_start=phase.warmup / phase.steps
    )
    averaged = copy.deepcopy(model)
    draws = itertools.islice(batches(rng, len(samples), schedule.size), phase.steps)
    with track(draws, "train", phase.steps, asked=True) as shown:
        for step, rows in enumerate(shown):
            drawn = draw(model.config, samples, rows, phase.weights, rng)
            update(model, optimiser, objective(model, writer, drawn, rng))
            pace.step()
            follow(averaged, model, min(schedule.average, step / (step + 10)))
    return averaged


def start_modes(model: AllSpark, samples: Samples, seed: int) -> None:
    """Give TUTR the motion modes of the training tracks, which are data and not trained."""
    own = np.asarray(samples.raw["trajectory"][:, 0, -1:], np.float64)
    paths = samples.target["trajectory"] - own
    encoder = cast("Tutr", model.encoders["trajectory"])
    modes = motion_modes(paths, len(encoder.motion_modes), np.random.default_rng(seed))
    encoder.motion_modes.copy_(torch.from_numpy(modes))


def draw(
    config: AllSparkConfig,
    samples: Samples,
    rows: NDArray[np.int64],
    weights: Mapping[str, float],
    rng: np.random.Generator,
) -> Batch:
    """Draw modalities, a subject among theirs, a question on each sample, and a symmetry."""
    modalities = subsets(config.modalities, weights, rng)
    asked = ASKED[str(rng.choice(modalities))]
    subject = SUBJECTS[asked]
    talks = [subject.dialogue(rng, int(label)) for label in samples.label[asked][rows]]
    return batch(config, samples, rows, modalities, asked, talks, Symmetry.draw(rng))


def objective(
    model: AllSpark, writer: Writer, drawn: Batch, rng: np.random.Generator
) -> torch.Tensor:
    """Give the loss of the heads or of the answers, either as often; bfloat16 halves the time."""
    with torch.autocast("cpu", torch.bfloat16):
        if rng.random() < HEADS:
            return head_loss(heads(model, writer, drawn), drawn.truth)
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
    """Train, judge on held-out samples, and write weights, tokenizer, scores and card."""
    parser = argparse.ArgumentParser(prog="python -m edgespark.export.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    options = parser.parse_args(arguments)
    schedule = Schedule()
    started = time.monotonic()
    torch.manual_seed(schedule.seed)
    tokenizer = train_tokenizer(TINY.llm.vocabulary, fixed_texts(TINY))
    writer = Writer(TINY, tokenizer)
    samples = gather(TRAIN, schedule.samples)
    model = AllSpark(TINY)
    start_modes(model, samples, schedule.seed)
    rounded = AllSpark(TINY)
    rounded.load_state_dict(halved(train(model, writer, samples, schedule)))
    write(options.out, rounded, tokenizer, {})  # hours of work: on the disk before it is judged
    found = evaluate(rounded, writer, gather(HELD_OUT, schedule.held_out))
    minutes = (time.monotonic() - started) / 60
    write(options.out, rounded, tokenizer, texts(schedule, found, minutes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
