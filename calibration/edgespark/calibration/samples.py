"""Sample sets: raw inputs of one modality with what is right about them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.arrays import npz


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSet:
    """n samples of one modality.

    input: [n, …], raw, as a user would give them; label: int64 [n], index of the right class;
    question and answer: text [n]. Raises ValueError where the lengths differ or a set is empty.
    """

    modality: str
    input: NDArray[np.generic]
    label: NDArray[np.int64]
    question: NDArray[np.str_]
    answer: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse columns that do not belong together."""
        lengths = {len(each) for each in (self.input, self.label, self.question, self.answer)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                f"{self.modality}: columns of {sorted(lengths)} samples; need one length"
            )

    def packed(self) -> bytes:
        """Give the set as it lies in a bundle: an .npz with the fields as arrays."""
        return npz(
            {
                "input": self.input,
                "label": self.label,
                "question": self.question,
                "answer": self.answer,
            }
        )
