"""A byte-level BPE tokenizer for the small model, trained on the world's own words."""

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from edgespark.export.models.config import AllSparkConfig
from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.words import dialogue, note

BEGIN, END = "<s>", "</s>"


def fixed_texts(config: AllSparkConfig) -> tuple[str, ...]:
    """Give the texts that stand in every prompt."""
    layout = config.layout
    template = layout.template.replace("{prompt}", "")
    return (*layout.modality.values(), layout.head, template)


def corpus(fixed: tuple[str, ...], notes: int = 4000) -> Iterator[str]:
    """Yield the prompts given, and questions, answers and notes of made-up scenes."""
    rng = np.random.default_rng(0)
    for index in range(notes):
        yield from fixed
        talk = dialogue(rng, int(rng.integers(len(NAMES))))
        yield talk.question
        yield f" {talk.answer}"
        yield note(0, index, rng.dirichlet(np.ones(len(NAMES))))


def train_tokenizer(vocabulary: int, fixed: tuple[str, ...]) -> Tokenizer:
    """Train on the corpus; text is lower-cased, as Lynx does, and every byte can be told."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(fixed), trainer)
    return tokenizer
