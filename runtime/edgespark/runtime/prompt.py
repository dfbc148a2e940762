"""How modalities and text stand in one sequence."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Language

Piece: TypeAlias = list[int] | Array  # ids of text, or tokens [1, tokens, width]


def question(language: Language, prompt: object) -> str:
    """Return the template with the prompt in it; UsageError for one that says nothing."""
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt must be a str, got {type(prompt).__name__}")
    if not prompt.strip():
        raise UsageError("the prompt is empty: ask something, such as " + repr(language.question))
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is no text that UTF-8 can hold: {error.reason}") from error
    return language.template.replace("{prompt}", prompt)


def length(pieces: Sequence[Piece]) -> int:
    """Return how many positions the pieces take together."""
    return sum(len(each) if isinstance(each, list) else each.shape[1] for each in pieces)


def check_length(positions: int, new: int, context: int) -> None:
    """Refuse a sequence that leaves no room in the context for as many new tokens as asked for."""
    if positions > context:
        raise UsageError(
            f"prompt and inputs take {positions} positions, the context holds {context}: "
            "shorten the prompt or give fewer inputs"
        )
    if positions + new > context:
        left = context - positions
        advice = f"ask for at most {left}" if left else "shorten the prompt"
        raise UsageError(
            f"prompt and inputs take {positions} of {context} positions, "
            f"so that {new} new tokens do not fit: {advice}"
        )


def sequence(pieces: Sequence[Piece], embed: Callable[[list[int]], Array]) -> Array:
    """Join the pieces, in order, to float32 [1, positions, width]; `embed` is called once."""
    ids = [each for piece in pieces if isinstance(piece, list) for each in piece]
    text = embed(ids)
    made = np.empty((1, length(pieces), text.shape[-1]), np.float32)
    at = taken = 0
    for piece in pieces:
        size = length([piece])
        if isinstance(piece, list):
            made[:, at : at + size] = text[:, taken : taken + size]
            taken += size
        else:
            made[:, at : at + size] = piece
        at += size
    return made
