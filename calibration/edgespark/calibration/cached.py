"""The files of a calibration cache: PART.json, and the arrays that it names."""

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgespark.calibration.checks import ARRAYS, SLACK, problems
from edgespark.calibration.methods import METHODS
from edgespark.calibration.statistics import Statistics
from edgespark.runtime import _seal
from edgespark.runtime._decode import decode, parse
from edgespark.runtime.backends import Array
from edgespark.runtime.errors import BundleError, InputError, MissingInput
from edgespark.runtime.manifest import UNSEALED, File
from edgespark.runtime.npz import arrays_from_npz
from edgespark.runtime.paths import checked_file

FORMAT = "edgespark-calibration"
VERSION = 1
LARGEST = 64 << 20
"""Bytes of a PART.json; the largest graphs have some thousand tensors of a hundred bytes each."""
MARK = 16
"""Digits of their digest that the arrays' file has in its name."""
MOST_PROBLEMS = 50
"""Problems that a message names; a damaged file may have a hundred thousand."""
AGAIN = "run `edgespark calibrate` again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What ranges were made from: SHA-256 in hexadecimal digits, and samples per modality."""

    set: str
    graph: str
    preprocessing: dict[str, str]
    samples: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """What PART.json says of a tensor: its statistics without arrays, its range by each method."""

    shape: tuple[int, ...]
    count: int
    low: float
    high: float
    peak: float
    average: float
    width: float
    ranges: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """PART.json: `sha256` is the digest of its own content, as that of a bundle's manifest."""

    format: str = FORMAT
    version: int = VERSION
    part: str
    provenance: Provenance
    arrays: File
    tensors: dict[str, Tensor]
    peaks: dict[str, float]
    sha256: str = UNSEALED


def packed(tensors: Mapping[str, Statistics]) -> bytes:
    """Return the arrays of the statistics as an .npz: `K.FIELD` for the K-th name in order.

    It is not compressed: nearly all of it are rows, whose noise takes time and gives no room.
    """
    arrays: dict[str, Any] = {
        f"{k}.{field}": getattr(tensors[name], field)
        for k, name in enumerate(sorted(tensors))
        for field in ARRAYS
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def named(part: str, arrays: bytes) -> File:
    """Return the record of the arrays' file; its name depends on its content."""
    digest = hashlib.sha256(arrays).hexdigest()
    return File(path=f"{part}.{digest[:MARK]}.npz", bytes=len(arrays), sha256=digest)


def sealed(document: Document) -> dict[str, object]:
    """Return the document as plain JSON values, with its digest in it; InputError if unsound."""
    wrong = list(_unsound(document))
    if wrong:
        raise InputError(f"part {document.part!r}: {'; '.join(wrong)}")
    plain = json.loads(json.dumps(asdict(document), allow_nan=False, sort_keys=True))
    return {**plain, _seal.FIELD: _seal.digest(plain)}


def opened(path: Path) -> Document:
    """Return the document in that file; MissingInput or InputError where there is no sound one."""
    try:
        value = parse(_content(path, LARGEST).decode())
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise refusal(path, [f"is no JSON of a calibration: {error}"]) from error
    said = value.get("format") if isinstance(value, dict) else None
    version = value.get("version") if isinstance(value, dict) else None
    if (said, version) != (FORMAT, VERSION):
        raise refusal(path, [f"is {said} {version}; expected {FORMAT} {VERSION}"])
    document, wrong = decode(Document, value)
    if document is None:
        raise refusal(path, wrong)
    broken = _seal.problem(cast("dict[str, _seal.Json]", value))
    wrong = [*_unsound(document), *filter(None, [broken])]
    if wrong:
        raise refusal(path, wrong)
    return document


def unpacked(folder: Path, document: Document) -> dict[str, Statistics]:
    """Return the statistics of a document, with their arrays; InputError where they do not fit."""
    path = folder / document.arrays.path
    arrays = _arrays(path, document.arrays)
    keys = {f"{k}.{field}" for k in range(len(document.tensors)) for field in ARRAYS}
    if set(arrays) != keys:
        raise refusal(path, [f"holds {len(arrays)} arrays that are not those of its tensors"])
    made = {
        name: _joined(tensor, {field: arrays[f"{k}.{field}"] for field in ARRAYS})
        for k, (name, tensor) in enumerate(sorted(document.tensors.items()))
    }
    wrong = [f"{name}: {each}" for name, tensor in made.items() for each in problems(tensor)]
    if wrong:
        raise refusal(path, wrong)
    return made


def refusal(path: Path, wrong: list[str]) -> InputError:
    """Return the error of a file that cannot be used, with everything that is wrong with it."""
    if len(wrong) == 1:
        return InputError(f"{path}: {wrong[0]}; {AGAIN}")
    more = len(wrong) - MOST_PROBLEMS
    rest = [f"and {more} more"] if more > 0 else []
    return InputError(
        "\n  ".join([f"{path}: cannot be used; {AGAIN}:", *wrong[:MOST_PROBLEMS], *rest])
    )


def _content(path: Path, most: int) -> bytes:
    try:
        found = checked_file(path)
    except MissingInput as error:
        raise MissingInput(f"{path}: there is no such file; {AGAIN}") from error
    size = found.stat().st_size
    if size > most:
        raise refusal(path, [f"has {size} bytes; expected {most} at most"])
    return found.read_bytes()


def _arrays(path: Path, file: File) -> dict[str, Array]:
    content = _content(path, file.bytes)
    if len(content) != file.bytes:
        told = f"it has {len(content)} bytes, its JSON says {file.bytes}"
        raise refusal(path, [f"was changed or damaged: {told}"])
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise refusal(path, ["was changed or damaged: it has not the digest that its JSON names"])
    try:
        return arrays_from_npz(content, str(path))
    except BundleError as error:
        raise refusal(path, list(error.problems)) from error


def _joined(tensor: Tensor, arrays: dict[str, Array]) -> Statistics:
    values: dict[str, Any] = {each.name: getattr(tensor, each.name) for each in fields(tensor)}
    values.pop("ranges")
    return Statistics(**(values | arrays))


def _unsound(document: Document) -> Iterator[str]:
    name = f"{document.part}.{document.arrays.sha256[:MARK]}.npz"
    if document.arrays.path != name:
        yield f"names its arrays {document.arrays.path!r}; expected {name!r}"
    for name, peak in document.peaks.items():
        if not 0 <= peak < math.inf:
            yield f"{name}: its peak is {peak}; expected a finite number of 0 or more"
    for name, tensor in document.tensors.items():
        yield from (f"{name}: {each}" for each in _wrong_ranges(tensor))
        if document.peaks.get(name, tensor.peak) != tensor.peak:
            yield f"{name}: its peak is {document.peaks[name]} in one place, {tensor.peak} in other"


def _wrong_ranges(tensor: Tensor) -> Iterator[str]:
    if set(tensor.ranges) != set(METHODS):
        yield f"has ranges by {', '.join(tensor.ranges)}; expected {', '.join(METHODS)}"
    for method, found in tensor.ranges.items():
        if tensor.peak and not 0 < found <= tensor.peak * SLACK:
            yield f"its range by {method} is {found}; expected one in 0 … {tensor.peak}, but not 0"
        if not tensor.peak and found:
            yield f"its range by {method} is {found}, though it was always zero"
