"""What preparing an input gives: the arrays that a route starts from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[str], list[int]]
"""Tokenises text into ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What a route starts from: its arrays by name, and the share of valid samples, 0…1.

    `anchor` is what a forecast is told relative to, float64 in the units of the input; None where
    the modality has none.
    """

    arrays: dict[str, NDArray[Any]]
    valid: float = 1.0
    anchor: NDArray[np.float64] | None = None
