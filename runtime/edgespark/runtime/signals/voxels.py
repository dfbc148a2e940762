"""From the voxels of one or more scans to what a brain encoder takes."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.rows import comma_rows
from edgespark.runtime.sensory import Voxels

RANKS = (1, 2)
GREATEST = float(np.finfo(np.float32).max)
Doubles = NDArray[np.float64]


def prepare_voxels(record: Voxels, value: NDArray[Any], name: str = "the array") -> Prepared:
    """Return `voxels`, float32 [1, 1, count].

    `value` is [count], or [repeats, count], over which the mean is taken, as the public code does
    (csuhan/OneLLM, data/finetune_dataset.py). Nothing else is done to it: values are normalised
    where the scans are prepared, as they were for training. Raises InputError for another shape or
    type, for no repeat, and for what is no finite number.
    """
    what = f"[{record.count}] voxels, or [repeats, {record.count}]"
    if value.dtype.kind not in "iuf":
        raise InputError(f"{name}: holds {value.dtype.name}; expected numbers {what}")
    if value.ndim not in RANKS:
        raise InputError(f"{name}: has shape {value.shape}; expected {what}")
    if not value.size:
        raise InputError(f"{name}: holds nothing; expected {what}")
    _check_width(record, value.shape[-1], name)
    repeats = value[None] if value.ndim == 1 else value
    mean = _mean(repeats)
    wrong = ~(np.abs(mean) <= GREATEST)
    if wrong.any():
        voxel = int(wrong.argmax())
        raise InputError(
            f"{name}: voxel {voxel}, counted from 0, has {mean[voxel]:g} in the mean of "
            f"{len(repeats)} scans; expected finite numbers: leave out, or fill in, what was not "
            "measured"
        )
    return Prepared(arrays={"voxels": mean.astype(np.float32)[None, None]})


def _mean(repeats: NDArray[Any]) -> Doubles:
    """Average over the first axis, a scan at a time, which may lie in a file."""
    total = np.zeros(repeats.shape[1])
    with np.errstate(all="ignore"):  # what comes of NaN and of too great ones is looked at
        for k in range(len(repeats)):
            total += np.asarray(repeats[k], np.float64)
        return total / len(repeats)


def voxels_from_csv(record: Voxels, path: str | Path) -> Doubles:
    """Return the mean of a CSV file's rows, one for each repeat: float64 [count].

    There is no header. Raises InputError for a row of another width, and a cell that is no number.
    """
    total, repeats = np.zeros(record.count), 0
    for line, cells in comma_rows(path):
        _check_width(record, len(cells), f"{path}: line {line}")
        total += _numbers(cells, f"{path}: line {line}")
        repeats += 1
    if not repeats:
        raise InputError(f"{path}: holds nothing; expected a row of {record.count} numbers a scan")
    return total / repeats


def _numbers(cells: list[str], name: str) -> Doubles:
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise InputError(f"{name}: expected numbers, a row for each scan: {error}") from error
    wrong = ~(np.abs(numbers) <= GREATEST)
    if wrong.any():
        voxel = int(wrong.argmax())
        raise InputError(f"{name}: voxel {voxel}, counted from 0, is {cells[voxel]!r}")
    if len(cells) > 1 and (numbers == np.arange(len(cells))).all():
        raise InputError(f"{name}: counts its columns: leave such a header out")
    return numbers


def _check_width(record: Voxels, width: int, name: str) -> None:
    if width != record.count:
        raise InputError(
            f"{name}: has {width} voxels; the model takes {record.count}: the same region of the "
            "same subject as in its training"
        )
