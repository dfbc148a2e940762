"""Write a calibration set for allspark-tiny, of the world that it was trained on.

`python -m edgespark.export.calibration_set DIR [--count N]`. Its samples are drawn from a stream of
their own: none was trained on, and none is among those that a bundle carries.
"""

import sys
from pathlib import Path

import numpy as np

from edgespark.calibration.samples import SampleSet
from edgespark.calibration.set_writer import check_place
from edgespark.calibration.sets import CalibrationSet, Rows, write_set
from edgespark.export.models.tiny import TINY
from edgespark.export.recipes.allspark import samples
from edgespark.export.worlds.dataset import make
from edgespark.runtime.commandline import Parser, show

STREAM = 4
COUNT = 128


def write(folder: Path, count: int, *, replace: bool) -> CalibrationSet:
    """Write `count` samples of every modality into a new folder, with their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    check_place(folder, replace=replace)
    drawn = make(STREAM, 0, count)
    for modality in TINY.prompts:
        _save(folder / modality, samples(TINY, drawn, modality))
    rows = {modality: Rows(folder=modality) for modality in TINY.prompts}
    return write_set(folder, rows, replace=replace)


def _save(folder: Path, columns: SampleSet) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in columns.columns().items():
        np.save(folder / f"{name}.npy", column, allow_pickle=False)


def main(arguments: list[str]) -> int:
    """Write the set that the arguments name; see the module."""
    parser = Parser(prog="python -m edgespark.export.calibration_set", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N")
    parser.add_argument("--replace", action="store_true")
    given = parser.parse_args(arguments)
    made = write(given.folder, given.count, replace=given.replace)
    show(f"{given.folder}: {given.count} samples of each of {len(made.modalities)} modalities")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
