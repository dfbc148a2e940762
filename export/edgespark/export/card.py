"""The model card: how the small model was made, and how well it does; as text and as data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from edgespark.export.judgement import Judgement
from edgespark.export.weights import CARD, SCORES


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One cycle of the learning rate, up to `rate`; `weights` say how often each modality is drawn.

    A modality without a weight has 1.
    """

    steps: int
    rate: float
    warmup: int
    weights: dict[str, float] = field(default_factory=dict)


FIRST = Phase(
    steps=12_000,
    rate=1e-3,
    warmup=200,
    weights={
        "hsi": 1.8,
        "point_cloud": 1.6,
        "oblique": 1.5,
        "trajectory": 1.4,
        "code": 0.9,
        "sar": 0.8,
        "language": 0.6,
        "table": 0.6,
        "video": 0.4,
    },
)
"""All modalities; what is learned sooner, or together with another, is drawn less often."""

SECOND = Phase(
    steps=2_500,
    rate=5e-4,
    warmup=50,
    weights={"point_cloud": 10.0, "oblique": 2.0, "hsi": 1.5, "trajectory": 1.5, "code": 1.5},
)
THIRD = Phase(steps=1_200, rate=5e-4, warmup=50, weights={"oblique": 10.0, "video": 0.5})
"""Above all what was still to be learned after the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long and how fast to train; `average` is the decay of the weights' moving average.

    Each phase begins with the averaged weights of the one before.
    """

    samples: int = 12_000
    phases: tuple[Phase, ...] = (FIRST, SECOND, THIRD)
    size: int = 64
    decay: float = 0.05
    average: float = 0.998
    held_out: int = 2_000
    seed: int = 0


def texts(schedule: Schedule, found: Sequence[Judgement], minutes: float) -> dict[str, str]:
    """Give the files that lie beside the weights: the card, and its scores as JSON."""
    numbers = {name: value for name, value in asdict(schedule).items() if name != "phases"}
    numbers["steps"] = sum(phase.steps for phase in schedule.phases)
    data = {"schedule": numbers, "judgements": [asdict(each) for each in found]}
    return {
        SCORES: json.dumps(data, indent=1) + "\n",
        CARD: card(schedule, found, minutes),
    }


def card(schedule: Schedule, found: Sequence[Judgement], minutes: float) -> str:
    """Write the card in Markdown."""
    classes = [each for each in found if each.head is not None]
    alone = [each for each in classes if len(each.modalities) == 1]
    several = [each for each in classes if len(each.modalities) > 1]
    return TEMPLATE.format(
        minutes=minutes,
        n=found[0].n,
        few=several[0].n,
        alone="\n".join(map(_classes, alone)),
        several="\n".join(map(_classes, several)),
        forecasts="\n".join(_forecasts(each) for each in found if each.errors),
        steps=", ".join(str(phase.steps) for phase in schedule.phases),
        rates=", ".join(f"{phase.rate:g}" for phase in schedule.phases),
        samples=schedule.samples,
        size=schedule.size,
        seed=schedule.seed,
        average=schedule.average,
    )


def _classes(judged: Judgement) -> str:
    names = " + ".join(judged.modalities) if len(judged.modalities) < ALL else "all of the place"
    return f"| {names} | {judged.head:.1%} | {judged.log_loss:.3f} | {judged.answer:.1%} |"


def _forecasts(judged: Judgement) -> str:
    (name,) = judged.modalities
    rows = []
    for metric, error in judged.errors.items():
        others = {each: scores[metric] for each, scores in judged.baselines.items()}
        best = min(others.values())
        told = ", ".join(f"{each} {score:.3g}" for each, score in others.items())
        rows.append(
            f"| {name} | {metric} | {error:.3g} | {told} | {1 - error / best:.0%} less "
            f"| {judged.answer:.1%} |"
        )
    return "\n".join(rows)


ALL = 5
"""From so many modalities on they are not listed."""

TEMPLATE = """\
# allspark-tiny

A small model with AllSpark's chain (encoder → Perceiver bridge → LLaMA-type LLM with Lynx's
adapters → task head) and all thirteen of its modalities, made to test edgespark with weights that
mean something.

**It knows a synthetic world only.** Every input it was trained and judged on was drawn by
`edgespark.export.worlds`; what it says of a real scene is no measurement of anything.

## What it takes and gives

- One place of 640 m, ten land covers, as ten modalities show it: `rgb` (uint8, contrast-
  stretched), `msi` (Sentinel-2's 12 bands, reflectance x 10000), `sar` (VV and VH in dB), `hsi` (48
  bands), `infrared` (brightness temperature of two bands, kelvin), `oblique` (a photograph),
  `video` (5 frames, rgb's encoder with frame positions), `point_cloud` (512 points of a laser
  scanner), `table` (8 sample plots, 7 typed columns), `language` (a field note).
- `code`: a short Python function; eight purposes.
- `trajectory`: 8 positions of an agent and its neighbours, 0.4 s apart; the next 12 are told.
- `graph`: 12 steps of traffic at 12 sensors of one road network, 5 minutes apart; the next 12 are
  told.
- Each gives an answer in words (greedy), and the probabilities of the classes or the forecast from
  one linear head per modality.

## How it was made

- {samples} training samples of each modality, {steps} steps of {size} samples, seed {seed}, AdamW
  with one cycle up to {rates}, moving average of the weights ({average}); {minutes:.0f} minutes on
  two shared CPU cores, samples made and scores judged included.
- Each batch shows one modality (75 %), two (17 %) or three (8 %), in random order, mostly of one
  subject; what is learned sooner is drawn less often,
  in the later phases above all.
- `python -m edgespark.export.train --out DIR` makes it anew. It holds all samples, in about 8 GB.

## Scores

Held-out samples (seeds that training never uses), weights rounded to float16 as shipped. Head: the
right class has the highest probability. Log-loss: of the head, in nats. Answer: greedy text equal
to the right one; one question in four is "Is this …?".

{n} samples each:

| modality | head | log-loss | answer |
|---|---|---|---|
{alone}

| modality | metric | model | without a model | against the best of these | answer |
|---|---|---|---|---|---|
{forecasts}

Several modalities in one prompt, {few} samples each:

| modalities | head | log-loss | answer |
|---|---|---|---|
{several}
"""
