"""Prompt sequences for many scenes at once, as the runtime lays them out for one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.worlds.tokens import BEGIN, END
from edgespark.runtime.errors import InputError

SLOT = -1
IGNORED = -100


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequences:
    """Right-padded ids int64 [batch, sequence], SLOT where a sensor's token goes.

    `targets` [batch, sequence] holds the next token where it is to be learned, else IGNORED; `last`
    [batch] is each row's last position.
    """

    ids: Tensor
    targets: Tensor
    last: Tensor


class Writer:
    """Turns texts into the ids of the prompt's layout."""

    def __init__(self, config: AllSparkConfig, tokenizer: Tokenizer) -> None:
        """Tokenise the parts of the layout that never change.

        InputError where the tokenizer is not one of this model's.
        """
        self._config, self._tokenizer = config, tokenizer
        self.begin, self.end = _special(tokenizer, BEGIN), _special(tokenizer, END)
        if tokenizer.get_vocab_size() > config.llm.vocabulary:
            raise InputError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens; "
                f"{config.name} has {config.llm.vocabulary} embeddings"
            )
        self._prompts = {name: self.encode(text) for name, text in config.prompts.items()}
        self._heads = {name: self.encode(task.prompt) for name, task in config.tasks.items()}

    def encode(self, text: str) -> list[int]:
        """Tokenise one stretch of text on its own, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Make text of ids."""
        return str(self._tokenizer.decode(ids))

    def ask(self, question: str) -> list[int]:
        """Put a question into the template."""
        return self.encode(self._config.template.replace("{prompt}", question))

    def head(self, modality: str) -> list[int]:
        """Give what stands before the modality's head reads."""
        return self._heads[modality]

    def block(self, modality: str, text: str | None) -> list[int]:
        """Give a modality's prompt and the places of its tokens, or its text."""
        body = self.encode(text) if text is not None else [SLOT] * self._config.bridge.latents
        return self._prompts[modality] + body

    def write(self, before: Sequence[list[int]], after: Sequence[list[int]]) -> Sequences:
        """Pad rows of context ids and, behind them, of ids to be learned."""
        length = max(len(a) + len(b) for a, b in zip(before, after, strict=True))
        ids = np.full((len(before), length), self.end)
        targets = np.full((len(before), length), IGNORED)
        for row, (context, learned) in enumerate(zip(before, after, strict=True)):
            ids[row, : len(context) + len(learned)] = context + learned
            start = len(context) - 1
            targets[row, start : start + len(learned)] = learned
        last = [len(context) - 1 for context in before]
        return Sequences(
            ids=torch.from_numpy(ids), targets=torch.from_numpy(targets), last=torch.tensor(last)
        )


def _special(tokenizer: Tokenizer, token: str) -> int:
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise InputError(f"the tokenizer has no token {token!r}")
    return found


def hidden_states(
    model: AllSpark, sequences: Sequences, tokens: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Run the LLM over whole sequences: hidden [batch, sequence, width] and logits.

    `tokens` are the sensors' tokens [batch, latents, width], in the order of their slots.
    """
    slots = sequences.ids == SLOT
    embeds = model.embed(sequences.ids.clamp(min=0))
    if tokens:
        embeds = embeds.masked_scatter(slots.unsqueeze(-1), torch.cat(tokens, 1))
    positions = torch.arange(embeds.shape[1]).expand(embeds.shape[:2])
    past = model.LLM.empty_past(embeds.shape[0])
    hidden, logits, _ = model.LLM(embeds, positions, torch.arange(embeds.shape[1]), past)
    return hidden, logits
