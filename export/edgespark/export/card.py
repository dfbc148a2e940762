"""The model card: how the small model was made, and how well it does; as text and as data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edgespark.export.judgement import Judgement
from edgespark.export.weights import CARD, SCORES


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long and how fast to train; `average` is the decay of the weights' moving average."""

    scenes: int = 20_000
    steps: int = 3_500
    size: int = 64
    rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.05
    average: float = 0.998
    held_out: int = 2_000
    seed: int = 0


def texts(schedule: Schedule, found: Sequence[Judgement], minutes: float) -> dict[str, str]:
    """Give the files that lie beside the weights: the card, and its scores as JSON."""
    data = {"schedule": asdict(schedule), "judgements": [asdict(each) for each in found]}
    return {
        SCORES: json.dumps(data, indent=1) + "\n",
        CARD: card(schedule, found, minutes),
    }


def card(schedule: Schedule, found: Sequence[Judgement], minutes: float) -> str:
    """Write the card in Markdown."""
    rows = "\n".join(
        f"| {' + '.join(each.modalities)} "
        f"| {each.head:.1%} | {each.log_loss:.3f} | {each.answer:.1%} |"
        for each in found
    )
    return TEMPLATE.format(rows=rows, minutes=minutes, n=found[0].n, **asdict(schedule))


TEMPLATE = """\
# allspark-tiny

A small model with AllSpark's chain (encoder → Perceiver bridge → LLaMA-type LLM with Lynx's
adapters → task head), made to test edgespark with weights that mean something.

**It knows synthetic scenes only.** Every image and every sentence it was trained and judged on was
drawn by `edgespark.export.worlds`; what it says of a real scene is no measurement of anything.

## What it takes and gives

- `rgb`: 3 bands, uint8, contrast-stretched; `msi`: Sentinel-2's 12 bands, reflectance x 10000;
  `sar`: VV and VH backscatter in dB; `language`: a field note. Images are 64 x 64 pixels of 10 m.
- An answer in words (greedy), and probabilities of ten land covers from one linear head per
  modality.

## How it was made

- {scenes} training scenes, {steps} steps of {size} scenes, seed {seed}, AdamW at {rate} with one
  cycle, moving average of the weights ({average}); {minutes:.0f} minutes on two shared CPU cores.
- Each batch shows one modality (70 %), two (20 %) or three (10 %), in random order; language half
  as often as each sensor.
- Ten covers; a scene mixes a main cover (55 to 92 % of the ground) with two others, half the time
  with one that is easily taken for it. Light, haze, season, texture, speckle and display stretch
  vary.
- `python -m edgespark.export.train --out DIR` makes it anew.

## Scores

{n} held-out scenes (seeds that training never uses), weights rounded to float16 as shipped. Head:
the right cover has the highest probability. Log-loss: of the head, in nats. Answer: greedy text
equal to the right one; one question in four is "Is this …?".

| modalities | head | log-loss | answer |
|---|---|---|---|
{rows}
"""
