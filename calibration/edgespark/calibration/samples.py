"""Sample sets: raw inputs of one modality with what is right about them."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.arrays import npz


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSet:
    """n samples of one modality.

    input: [n, …], raw, as a user would give them; label: int64 [n], index of the right class of a
    classification; target: float [n, …], what a regression should give, in the head's shape and
    unit; question and answer: text [n]. Raises ValueError where the lengths differ, a set is empty,
    or a target is not finite.
    """

    modality: str
    input: NDArray[np.generic]
    label: NDArray[np.int64] | None = None
    target: NDArray[np.floating[Any]] | None = None
    question: NDArray[np.str_]
    answer: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse columns that do not belong together, and what no forecast can be judged by."""
        lengths = {len(each) for each in self.columns().values()}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                f"{self.modality}: columns of {sorted(lengths)} samples; need one length"
            )
        if self.target is not None and not np.isfinite(self.target).all():
            raise ValueError(f"{self.modality}: a target is not finite")

    def packed(self) -> bytes:
        """Give the set as it lies in a bundle: an .npz with the fields that it has as arrays."""
        return npz(self.columns())

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the fields that the set has, by name, each with one row per sample."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        return {name: column for name, column in columns.items() if column is not None}
