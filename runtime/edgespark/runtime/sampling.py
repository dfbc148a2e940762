"""How the next token is chosen from the logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from reprlib import repr as shortened

import numpy as np

from edgespark.runtime._numbers import is_number
from edgespark.runtime.backends import Array
from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.ports import OVERFLOW

FLOORS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-21)
"""Tokens are candidates from this share of the best one's probability on, the first that suffices.

What a language model is sure of is in the first, a few hundred tokens at most. Below the last one
a million tokens weigh less together than float64 tells: they are never drawn.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How to choose: greedy at temperature 0, else from the nucleus of `top_p`.

    The nucleus is the smallest set of tokens whose probabilities reach `top_p` (Holtzman et al.
    2020, section 3.1), of the `top_k` most probable ones where that is not 0. The same `seed` gives
    the same text. UsageError where a value is outside its range: temperature finite and >= 0,
    0 < top_p <= 1, top_k >= 0, seed >= 0.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no distribution can be made of."""
        if not is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            got = shortened(self.temperature)
            raise UsageError(f"temperature must be a finite number >= 0, got {got}")
        if not is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be a number above 0 and up to 1, got {self.top_p!r}")
        if not _is_integer(self.top_k) or self.top_k < 0:
            raise UsageError(f"top_k must be an integer >= 1, or 0 for all, got {self.top_k!r}")
        if not _is_integer(self.seed) or self.seed < 0:
            raise UsageError(f"seed must be an integer >= 0, got {self.seed!r}")
        for name in ("top_k", "seed"):  # a narrow integer of numpy's overflows in what follows
            object.__setattr__(self, name, int(getattr(self, name)))


def chooser(sampling: Sampling) -> Callable[[Array], int]:
    """Return the function that takes logits [vocabulary] and gives the id of the next token.

    It takes one number of the generator for each token, and none where it is greedy.
    """
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    generator = np.random.default_rng(sampling.seed)

    def choose(logits: Array) -> int:
        chance = generator.random()
        if sampling.top_p == 1:  # the whole vocabulary: what ranks behind the drawn one is unsorted
            return int(_leading(logits, sampling, chance)[0][-1])
        ids, cumulative = nucleus(logits, sampling)
        return int(ids[np.searchsorted(cumulative, chance * cumulative[-1])])

    return choose


def nucleus(logits: Array, sampling: Sampling) -> tuple[Array, Array]:
    """Return the ids of the nucleus, most probable first, and their cumulated probabilities.

    The probabilities are float64 and sum to at most 1; the first token is always in. Of equal
    logits that of the smaller id comes first.
    """
    return _leading(logits, sampling, sampling.top_p)


def _leading(logits: Array, sampling: Sampling, share: float) -> tuple[Array, Array]:
    """Return the fewest ids that reach the share, and their cumulated probabilities."""
    if sampling.top_k:
        ids = _ranked(logits, _highest(logits, sampling.top_k))[: sampling.top_k]
        weights = _weights(logits[ids], sampling.temperature)
        total = weights.sum()
    else:
        all_weights = _weights(logits, sampling.temperature)
        total = all_weights.sum()
        ids = _ranked(logits, _heaviest(all_weights, share * total))
        weights = all_weights[ids]
    cumulative = np.cumsum(weights / total)
    size = int(np.searchsorted(cumulative, min(share, cumulative[-1]))) + 1
    return ids[:size], cumulative[:size]


def _weights(logits: Array, temperature: float) -> Array:
    """Return what the probabilities are proportional to, float64, at most 1."""
    weights = logits.astype(np.float64)
    weights -= weights.max()
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf
        weights /= temperature
    return np.exp(weights, out=weights)


def _heaviest(weights: Array, mass: float) -> Array:
    """Return the ids of the highest weights that together reach the mass, rising."""
    for floor in FLOORS:
        ids = np.flatnonzero(weights >= floor)
        if weights[ids].sum() >= mass:
            break
    return ids


def _highest(logits: Array, count: int) -> Array:
    """Return the ids of the `count` highest logits and of some more, rising.

    The vocabulary is split into twice as many heaps: `count` of these have their highest logit
    above the median of these highest, so that as many logits at least are not below it.
    """
    heaps = 2 * count
    if heaps >= len(logits):
        return np.arange(len(logits))
    rows = len(logits) // heaps
    tops = logits[: rows * heaps].reshape(rows, heaps).max(axis=0)
    return np.flatnonzero(logits >= np.partition(tops, count)[count])


def _ranked(logits: Array, ids: Array) -> Array:
    """Return rising ids by falling logit, of equal ones the smaller id first."""
    ranked: Array = ids[np.argsort(-logits[ids], kind="stable")]
    return ranked


def check_logits(logits: Array, stage: str, reason: str = OVERFLOW) -> Array:
    """Return the id of the highest logit of each row, int64 [...] of logits [..., vocabulary].

    DeviceError, which tells the reason, where a row holds NaN or +infinity, or nothing else than
    -infinity: see `ports.check_finite`.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    ids: Array = rows.argmax(axis=1)  # that of NaN where any value is NaN
    highest = rows[np.arange(len(rows)), ids]
    if not np.isfinite(highest).all():
        found = highest[~np.isfinite(highest)][0]
        raise DeviceError(f"{stage} gave {found} instead of numbers: {reason}")
    return ids.reshape(logits.shape[:-1])


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
