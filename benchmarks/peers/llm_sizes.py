"""The Llamas that `benchmarks/llm.py` runs, and what is fed to them; needs numpy alone."""

from dataclasses import dataclass

import numpy as np

VOCABULARY, CONTEXT = 32000, 2048
SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """One model: layers, widths, and heads of attention, with a head of its own for each key."""

    width: int
    depth: int
    heads: int
    hidden: int

    @property
    def table(self) -> int:
        """How many weights the embedding has, and the output as many."""
        return VOCABULARY * self.width

    @property
    def cache(self) -> int:
        """How many numbers the keys and values of one position are."""
        return 2 * self.depth * self.width


SIZES = {
    "162M": Size(width=768, depth=12, heads=12, hidden=3072),
    "1B": Size(width=2048, depth=16, heads=32, hidden=5632),
}


def ids(count: int, seed: int = SEED) -> list[int]:
    """Give the first `count` ids of a sequence; that of `SEED` is fed to every form."""
    drawn = np.random.default_rng(seed).integers(3, VOCABULARY, CONTEXT)
    return [int(each) for each in drawn[:count]]


def words(count: int, seed: int) -> str:
    """Write ids as the tokenizer of `llm_weights` reads them."""
    return " ".join(f"w{each}" for each in ids(count, seed))
