"""From the voxels of one or more scans to what a brain encoder takes."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.npy import NpyFile
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.rows import comma_rows
from edgespark.runtime.sensory import Voxels
from edgespark.runtime.signals.recording import warn

RANKS = (1, 2)
FIRST = (0, 1)
"""What a header that counts its columns begins with."""
AT_A_TIME = 1 << 20
"""Values of all scans that are held at a time."""
STRONGEST = 100.0
"""No normalised value is so far from 0."""
GREATEST = float(np.finfo(np.float32).max)
Doubles = NDArray[np.float64]


def prepare_voxels(record: Voxels, value: NDArray[Any], name: str = "the array") -> Prepared:
    """Return `voxels`, float32 [1, 1, count].

    `value` is [count], or [repeats, count], over which the mean is taken, as the public code does
    (csuhan/OneLLM, data/finetune_dataset.py). Nothing else is done to it: values are normalised
    where the scans are prepared, as they were for training. Raises InputError for another shape or
    type, for no repeat, and for what is no finite number; warns (EdgesparkWarning) where a value
    seems not to be normalised.
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
    _warn_of_scale(mean, name)
    return Prepared(arrays={"voxels": mean.astype(np.float32)[None, None]})


def _warn_of_scale(mean: Doubles, name: str) -> None:
    voxel = int(np.abs(mean).argmax())
    if abs(mean[voxel]) > STRONGEST:
        warn(
            f"{name}: voxel {voxel}, counted from 0, is {mean[voxel]:g}; the model takes values "
            "that are normalised as in its training: are these raw?"
        )


def _mean(repeats: NDArray[Any]) -> Doubles:
    """Average over the first axis, in pieces that lie together, maybe in a file."""
    count, width = repeats.shape
    total = np.zeros(width)
    high, wide = _piece(count, width, columns_first=_columns_first(repeats))
    with np.errstate(all="ignore"):  # what comes of NaN and of too great ones is looked at
        for left in range(0, width, wide):
            part = slice(left, left + wide)
            for top in range(0, count, high):
                total[part] += np.asarray(repeats[top : top + high, part], np.float64).sum(axis=0)
    mean: Doubles = total / count
    return mean


def _piece(count: int, width: int, *, columns_first: bool) -> tuple[int, int]:
    """Return the scans and the voxels of a piece, of which no more than AT_A_TIME are held."""
    if columns_first:
        high = min(count, AT_A_TIME)
        return high, min(max(AT_A_TIME // high, 1), width)
    wide = min(width, AT_A_TIME)
    return max(AT_A_TIME // wide, 1), wide


def _columns_first(repeats: NDArray[Any]) -> bool:
    """Tell whether the repeats of a voxel lie together, rather than the voxels of a scan."""
    if isinstance(repeats, NpyFile):
        return repeats.fortran
    return repeats.strides[0] < repeats.strides[1]


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
    if len(cells) > 1 and numbers[0] in FIRST and (np.diff(numbers) == 1).all():
        raise InputError(f"{name}: counts its columns: leave such a header out")
    return numbers


def _check_width(record: Voxels, width: int, name: str) -> None:
    if width != record.count:
        raise InputError(
            f"{name}: has {width} voxels; the model takes {record.count}: the same region of the "
            "same subject as in its training"
        )
