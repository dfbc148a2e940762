"""How the next token is chosen from the logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from reprlib import repr as shortened

import numpy as np

from edgespark.runtime._numbers import is_number
from edgespark.runtime.backends import Array
from edgespark.runtime.errors import DeviceError, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How to choose: greedy at temperature 0, else from the nucleus of `top_p`.

    The nucleus is the smallest set of tokens whose probabilities reach `top_p` (Holtzman et al.
    2020, section 3.1). The same `seed` gives the same text. UsageError where a value is outside its
    range: temperature finite and >= 0, 0 < top_p <= 1, seed >= 0.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no distribution can be made of."""
        if not is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            got = shortened(self.temperature)
            raise UsageError(f"temperature must be a finite number >= 0, got {got}")
        if not is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be a number above 0 and up to 1, got {self.top_p!r}")
        if not _is_integer(self.seed) or self.seed < 0:
            raise UsageError(f"seed must be an integer >= 0, got {self.seed!r}")


def chooser(sampling: Sampling) -> Callable[[Array], int]:
    """Return the function that takes logits [vocabulary] and gives the id of the next token."""
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    generator = np.random.default_rng(sampling.seed)

    def choose(logits: Array) -> int:
        order, cumulative = nucleus(logits, sampling)
        drawn = generator.random() * cumulative[-1]
        return int(order[np.searchsorted(cumulative, drawn, side="right")])

    return choose


def nucleus(logits: Array, sampling: Sampling) -> tuple[Array, Array]:
    """Return the ids of the nucleus, most probable first, and their cumulated probabilities.

    The probabilities are float64 and sum to at most 1; the first token is always in.
    """
    wide = logits.astype(np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf
        weights = np.exp((wide - wide.max()) / sampling.temperature)
    order = np.argsort(-weights, kind="stable")
    cumulative = np.cumsum(weights[order] / weights.sum())
    size = int(np.searchsorted(cumulative, sampling.top_p, side="left")) + 1
    return order[:size], cumulative[:size]


def check_logits(logits: Array, stage: str) -> None:
    """Refuse logits that hold NaN or +infinity, or nothing else than -infinity.

    DeviceError, since a graph that was verified only does that where its arithmetic overflows.
    """
    highest = logits.max()  # NaN where any value is NaN
    if not np.isfinite(highest):
        raise DeviceError(
            f"{stage} gave {highest} instead of numbers: its arithmetic overflows on this input; "
            "try a wider precision"
        )


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
