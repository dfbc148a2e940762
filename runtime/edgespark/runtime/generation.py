"""How a bundle's answers are generated where nobody says otherwise."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """How an answer is generated where the caller does not say; as `Spark.generate` takes it."""

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what nothing could be drawn with."""
        if self.max_tokens < 1 or not 0 <= self.temperature < math.inf or not 0 < self.top_p <= 1:
            raise ValueError("needs max_tokens >= 1, a finite temperature >= 0, 0 < top_p <= 1")
