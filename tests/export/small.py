"""Small models and checkpoints for the tests of recipes."""

from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import Llama, Perceiver
from edgespark.export.models.lynx import LYNX
from edgespark.export.models.tiny import TINY
from edgespark.export.weights import CARD, SCORES, write
from edgespark.export.worlds.tokens import BEGIN, END

SMALL = replace(
    LYNX,
    name="small",
    encoders={},
    bridge=Perceiver(latents=2, depth=1, heads=1, head_dim=4, multiple=1),
    llm=Llama(
        vocabulary=258,
        width=16,
        depth=1,
        heads=2,
        hidden=24,
        context=64,
        adapters=(),
        bottleneck=4,
    ),
)
"""The language side of Lynx, which a recipe of one's own builds on."""
NO_SCORES = '{"schedule": {}, "judgements": []}'


def byte_tokenizer() -> Tokenizer:
    """Make a tokenizer of single bytes, and of the tokens that begin and end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([], trainer)
    return tokenizer


def random_checkpoint(folder: Path) -> Path:
    """Write weights of allspark-tiny that nobody has trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AllSpark(TINY)
    write(folder, model, byte_tokenizer(), {SCORES: NO_SCORES, CARD: "# card\n"})
    return folder
