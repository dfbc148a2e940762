"""How modalities and text stand in one sequence."""

from collections.abc import Sequence
from typing import TypeAlias

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Language
from edgespark.runtime.tokens import LONGEST_TOKEN

Piece: TypeAlias = list[int] | Array  # ids of text, or tokens [1, tokens, width]


def question(language: Language, prompt: object) -> str:
    """Return the template with the prompt in it; UsageError for one that says nothing."""
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt must be a str, got {type(prompt).__name__}")
    if not prompt.strip():
        raise UsageError("the prompt is empty: ask something, such as " + repr(language.question))
    if len(prompt) > language.context * LONGEST_TOKEN:  # before hours of tokenising it
        raise UsageError(
            f"the prompt has {len(prompt)} characters, the context holds {language.context} "
            "tokens: shorten the prompt"
        )
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is no text that UTF-8 can hold: {error.reason}") from error
    return language.template.replace("{prompt}", prompt)


def length(pieces: Sequence[Piece]) -> int:
    """Return how many positions the pieces take together."""
    return sum(len(each) if isinstance(each, list) else each.shape[1] for each in pieces)


def check_length(positions: int, new: int, context: int, *, exact: bool = True) -> None:
    """Refuse a sequence that leaves no room in the context for as many new tokens as asked for.

    One of no positions is refused too: nothing follows nothing. `positions` may be the least that
    there are, where they are not `exact`. Raises UsageError.
    """
    take = "take" if exact else "take at least"
    if exact and not positions:
        raise UsageError(
            "prompt and inputs take 0 positions: the tokenizer of this bundle makes no token of "
            "them; ask with other words, or give an input"
        )
    if positions > context:
        raise UsageError(
            f"prompt and inputs {take} {positions} positions, the context holds {context}: "
            "shorten the prompt or give fewer inputs"
        )
    if positions + new > context:
        left = context - positions
        advice = f"ask for at most {left}" if left else "shorten the prompt"
        raise UsageError(
            f"prompt and inputs {take} {positions} of {context} positions, "
            f"so that {new} new tokens do not fit: {advice}"
        )
