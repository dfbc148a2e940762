"""The held-out samples that a bundle carries, and what must hold for them."""

from collections.abc import Callable, Iterator

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import Head, Samples
from edgespark.runtime.preprocessing import Preprocessing, Table, Text
from edgespark.runtime.reference import arrays

FIELDS = ("input", "question", "answer")
CELLS = 2
"""Axes of one table: rows and columns."""
TRUTHS = {"classification": "label", "regression": "target"}
"""The array that says what a head of that task should have said."""


def held_out(
    bundle: Bundle, samples: Samples, head: Head | None, limit: int | None
) -> dict[str, Array]:
    """Return the arrays by which a modality is scored, the first `limit` of each.

    Beside `input`, `question` and `answer` [n] they are the `label` [n] of a classification, or the
    `target` [n, …] of a regression, whose shape must be the head's. BundleError for arrays that
    lack, differ in length, or cannot be those: an input that could name a file, above all, which
    would be read on the machine of whoever measures.
    """
    data = arrays(bundle, samples.file)
    names = (*FIELDS, TRUTHS[head.task]) if head is not None else FIELDS
    lacking = [f"has no array {name!r}" for name in names if name not in data]
    sizes = {name: len(data[name]) if data[name].ndim else 0 for name in names if name in data}
    if lacking or len(set(sizes.values())) != 1 or 0 in sizes.values():
        problems = lacking or [f"its arrays differ in length, or are empty: {sizes}"]
        raise BundleError(samples.file.path, problems)
    record = bundle.manifest.route(samples.modality).preprocessing
    problems = list(INPUTS.get(type(record), _numbers)("input", data["input"], head))
    problems += [
        problem for name in names if name in WHAT for problem in WHAT[name](name, data[name], head)
    ]
    if problems:
        raise BundleError(samples.file.path, problems)
    return {name: data[name][:limit] for name in names}


def _numbers(name: str, array: Array, _: Head | None) -> Iterator[str]:
    if array.dtype.kind not in "biuf":
        yield f"array {name!r} holds {array.dtype}; expected numbers"


def _cells(name: str, array: Array, _: Head | None) -> Iterator[str]:
    if array.dtype.kind not in "Ubiuf" or array.ndim != 1 + CELLS:
        shape = list(array.shape)
        yield f"array {name!r} is {array.dtype} {shape}; expected cells [n, rows, columns]"


def _text(name: str, array: Array, _: Head | None) -> Iterator[str]:
    if array.ndim != 1 or array.dtype.kind != "U":
        yield f"array {name!r} does not hold one value per sample"


def _label(name: str, array: Array, head: Head | None) -> Iterator[str]:
    labels = head.labels if head is not None else ()
    if array.ndim != 1:
        yield f"array {name!r} does not hold one value per sample"
    elif not set(array.tolist()) <= set(range(len(labels))):
        yield f"a label is no index of {len(labels)} labels"


def _target(name: str, array: Array, head: Head | None) -> Iterator[str]:
    shape = head.shape if head is not None else ()
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        yield f"array {name!r} does not hold finite numbers"
    if shape and array.shape[1:] != shape:
        yield f"array {name!r} has shape {list(array.shape)}; expected [n, {str(list(shape))[1:]}"


INPUTS: dict[type[Preprocessing], Callable[[str, Array, Head | None], Iterator[str]]] = {
    Text: _text,
    Table: _cells,
}
"""What must hold for the raw input, where that is no numbers; the rest only preparing it tells."""
WHAT = {"question": _text, "answer": _text, "label": _label, "target": _target}
"""What must hold for each array beside the raw input."""
