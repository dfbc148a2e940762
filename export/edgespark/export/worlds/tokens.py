"""A byte-level BPE tokenizer for the small model, trained on the world's own words."""

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from edgespark.export.models.config import AllSparkConfig
from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.programs import CODE, program
from edgespark.export.worlds.words import note
from edgespark.export.worlds.world import SUBJECTS

BEGIN, END = "<s>", "</s>"


def fixed_texts(config: AllSparkConfig) -> tuple[str, ...]:
    """Give the texts that stand in every prompt."""
    template = config.template.replace("{prompt}", "")
    heads = dict.fromkeys(task.prompt for task in config.tasks.values())
    return (*config.prompts.values(), *heads, template)


def corpus(fixed: tuple[str, ...], count: int = 4000) -> Iterator[str]:
    """Yield the prompts given, questions and answers on every subject, notes and programs."""
    rng = np.random.default_rng(0)
    for index in range(count):
        yield from fixed
        for subject in SUBJECTS.values():
            talk = subject.dialogue(rng, int(rng.integers(len(subject.classes))))
            yield talk.question
            yield f" {talk.answer}"
        yield note(0, index, rng.dirichlet(np.ones(len(NAMES))))
        yield program(rng, int(rng.integers(len(CODE.classes))))


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
