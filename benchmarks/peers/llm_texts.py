"""A calibration set of a few texts of random words, for ranges of keys and values."""

from pathlib import Path

import numpy as np

from benchmarks.peers.llm_sizes import words
from edgespark.calibration.set_manifest import Rows
from edgespark.calibration.sets import write_set

MODALITY = "language"
COUNT, WORDS = 64, 200
FIRST = 100  # seed; the ids that are timed and checked are of another


def texts(inside: Path) -> Path:
    """Write the set into a folder named after its sizes, unless it is there; return that."""
    folder = inside / f"texts-{COUNT}x{WORDS}"
    if not folder.exists():
        place = folder / MODALITY
        place.mkdir(parents=True)
        for name, first, count in (("input", FIRST, WORDS), ("question", FIRST + COUNT, 8)):
            column = np.array([words(count, first + index) for index in range(COUNT)])
            np.save(place / f"{name}.npy", column, allow_pickle=False)
        write_set(folder, {MODALITY: Rows(folder=MODALITY)})
    return folder
