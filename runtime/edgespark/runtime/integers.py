"""How the integer weights of an LLM's graph were made."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Integers"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Integers:
    """How the weights of a decoder's products became integers.

    At most `block` rows of a column share a scale, all of them where it is 0; scales may be
    `signed`, of either sign. `rounding` is to the nearest code, or goes by data. Logits have codes
    of `last` bits.
    """

    block: int
    signed: bool
    rounding: Literal["nearest", "awq", "gptq"]
    last: Literal[4, 8]

    def __post_init__(self) -> None:
        """Refuse fewer rows than none."""
        if self.block < 0:
            raise ValueError(f"no block has {self.block} rows")

    @property
    def told(self) -> str:
        """Say in a few words which scales there are, and how was rounded."""
        scales = f"blocks of at most {self.block}" if self.block else "a scale a column"
        signed = ", scales of either sign" if self.signed else ""
        return f"{scales}{signed}, {self.rounding}; logits of {self.last} bits"
