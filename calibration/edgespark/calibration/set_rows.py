"""Samples that lie in .npy files, one row each: read where they are wanted, never whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.npy import NpyFile, npy_file

FIELDS = ("input", "label", "target", "question", "answer")
"""The files of a folder of rows, without .npy; all but the first may be absent."""
KINDS = {"input": "biufU", "label": "iu", "target": "iuf", "question": "U", "answer": "U"}
"""numpy's letters for the types that each may hold."""
FLAT = ("label", "question", "answer")
"""What is one value a row."""
AT_A_TIME = 1 << 16
"""Labels that are looked at together."""
INDICES = np.iinfo(np.int64)


def open_rows(folder: Path) -> dict[str, NpyFile]:
    """Look at the headers of a folder's files; none of the rows is read but the labels.

    Raises InputError where input.npy lacks, a file is none, has another type or number of rows than
    it may, or has no row.
    """
    paths = {name: folder / f"{name}.npy" for name in FIELDS}
    found = {n: npy_file(p) for n, p in paths.items() if n == "input" or p.is_file()}
    problems = [each for name, file in found.items() for each in _problems(name, file)]
    lengths = {name: file.shape[0] for name, file in found.items() if file.ndim}
    if not problems and len(set(lengths.values())) != 1:
        problems = [f"its files differ in their number of rows: {lengths}"]
    if not problems and not lengths["input"]:
        problems = ["there is no sample in it: input.npy has 0 rows"]
    if problems:
        raise InputError(f"{folder}: {'; '.join(problems)}")
    return found


def row(files: dict[str, NpyFile], index: int) -> dict[str, Any]:
    """Read one row of each file: `input` as an array or text, the rest as plain values.

    InputError where a file ends early, or a target is not finite.
    """
    made = {name: file[index] for name, file in files.items()}
    if "target" in made and not np.isfinite(made["target"]).all():
        raise InputError(f"{files['target'].path}: row {index} is not finite")
    return {name: _plain(value) for name, value in made.items()}


def labels(file: NpyFile) -> Iterator[NDArray[Any]]:
    """Give the labels, some at a time."""
    for first in range(0, len(file), AT_A_TIME):
        yield file[first : first + AT_A_TIME]


def _problems(name: str, file: NpyFile) -> Iterator[str]:
    what = f"{name}.npy holds {file.dtype} {list(file.shape)}"
    if not file.ndim or file.dtype.kind not in KINDS[name] or (name in FLAT and file.ndim > 1):
        expected = "text" if KINDS[name] == "U" else "whole numbers" if name == "label" else "rows"
        yield f"{what}; expected {expected}{', one a row' if name in FLAT else ' of numbers'}"
    elif name == "label":
        worst = min((int(part.min()) for part in labels(file)), default=0)
        most = max((int(part.max()) for part in labels(file)), default=0)
        if worst < 0 or most > INDICES.max:
            yield f"label.npy holds {worst if worst < 0 else most}, which is no index of a class"


def _plain(value: Any) -> Any:  # noqa: ANN401 a row of any array
    return value.item() if isinstance(value, np.generic) else value
