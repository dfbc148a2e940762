"""Calibration sets: folders of real samples, bound by their hashes.

`CalibrationSet.open` reads one, `write_set` makes the manifest of one, and `edgespark sample` does
so on the command line; `check_fit` judges one against a bundle.
"""

from edgespark.calibration.set_fit import check_fit
from edgespark.calibration.set_manifest import FORMAT, NAME, VERSION, Item, Items, Modality, Rows
from edgespark.calibration.set_reader import CalibrationSet, Sample
from edgespark.calibration.set_writer import write_set

__all__ = [
    "FORMAT",
    "NAME",
    "VERSION",
    "CalibrationSet",
    "Item",
    "Items",
    "Modality",
    "Rows",
    "Sample",
    "check_fit",
    "write_set",
]
