"""allspark-base: every modality at sizes of real work, with random weights, for benchmarks only."""

from pathlib import Path

import torch

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.base import BASE
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.models.counts import counts
from edgespark.export.models.tiny import TINY
from edgespark.export.recipes.drawn import drawn
from edgespark.export.recipes.routes import chain, choose
from edgespark.export.worlds.tokens import fixed_texts, train_tokenizer
from edgespark.runtime.errors import UsageError

CONFIGS = {"allspark-base": BASE}
SEED = 0


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model of that name with weights drawn anew, always the same.

    UsageError where weights are given; see edgespark.export.recipes.Recipe.
    """
    if folder is not None:
        raise UsageError(f"{name} has random weights and takes no checkpoint; leave it out")
    return random_blueprint(CONFIGS[name], modalities)


def random_blueprint(config: AllSparkConfig, modalities: tuple[str, ...]) -> Blueprint:
    """Make a model of these sizes: random weights and probes, no samples, no scores.

    The tokenizer is the small model's, trained on the synthetic world; the ids that it does not
    know are never read, and leave no text where they are told.
    """
    chosen = choose(config, modalities)
    model = random_model(config)
    tokenizer = train_tokenizer(TINY.llm.vocabulary, fixed_texts(config))
    probes = {each: drawn(config.records[each]) for each in chosen if each in config.encoders}
    return chain(model, tokenizer, probes, chosen, card(model).encode())


def random_model(config: AllSparkConfig) -> AllSpark:
    """Draw all weights, as torch does by default, without touching its global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return AllSpark(config).eval()


def card(model: AllSpark) -> str:
    """Write the card in Markdown: what the model is for, and how large its parts are."""
    found = counts(model)
    rows = "\n".join(f"| {part} | {count:,} |" for part, count in found.items())
    return TEMPLATE.format(name=model.config.name, rows=rows, total=sum(found.values()), seed=SEED)


TEMPLATE = """\
# {name}

AllSpark's chain (encoder → Perceiver bridge → LLaMA-type LLM with Lynx's adapters → task head) at
sizes of real work.

**Its weights are random (seed {seed}): it is for benchmarks only.** What it answers means nothing;
how long it takes, and how much memory, does. It has no samples and no scores.

{total:,} parameters:

| part | parameters |
|---|---|
{rows}

The bundle holds the parts of those modalities that were exported. `encoder_video` is the frame
positions alone: the rest of it is a copy of `encoder_rgb`.
"""
