"""The calibration of a part: gathered once, kept in files, and refused when it fits no longer.

A cache is two files in one folder: PART.json, which people can read, and PART.DIGEST.npz with the
arrays. The arrays' file is named by its content and written first, and the JSON that names it takes
the place of the old one in a single rename: at every moment the folder holds one whole calibration,
the old or the new.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgespark.calibration import cached
from edgespark.calibration.cached import Provenance
from edgespark.calibration.methods import METHODS, peak_of
from edgespark.calibration.statistics import Statistics
from edgespark.runtime.errors import InputError, OutputError
from edgespark.runtime.manifest import File

__all__ = ["PartCalibration", "Provenance", "document", "load", "save"]

SHOWN = 12
"""Digits of a digest in a message."""
LISTED = 4
"""Names in a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartCalibration:
    """What the tensors of a part's graph held on all samples.

    `tensors` are the float inputs of the products (MatMul, Gemm, Conv) that are no constants;
    `peaks` is the greatest magnitude of every float32 tensor.
    """

    part: str
    provenance: Provenance
    tensors: dict[str, Statistics]
    peaks: dict[str, float]


def document(made: PartCalibration) -> dict[str, object]:
    """Return PART.json as plain JSON values; InputError for what no tensor can have held."""
    return _document(made, cached.named(made.part, cached.packed(made.tensors)))


def save(folder: Path, made: PartCalibration) -> None:
    """Write the calibration of a part; what lay there before stays whole until it is replaced.

    OutputError where the folder cannot be written, InputError as `document`.
    """
    arrays = cached.packed(made.tensors)
    file = cached.named(made.part, arrays)
    text = json.dumps(_document(made, file), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / file.path, arrays)
        _put(folder / f"{made.part}.json", f"{text}\n".encode())
        _sweep(folder, made.part, file.path)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error


def load(folder: Path, part: str, expected: Provenance, names: Collection[str]) -> PartCalibration:
    """Return the calibration of a part, which must be of these origins and know these tensors.

    InputError that says what changed where it is of others, lacks tensors or is damaged;
    MissingInput where there is none.
    """
    path = folder / f"{part}.json"
    found = cached.opened(path)
    changed = [
        *_changes(found.provenance, expected),
        *_absent("range", names, found.tensors),
        *_absent("peak", set(names) & set(found.tensors), found.peaks),
    ]
    if found.part != part:
        changed.insert(0, f"it is of part {found.part!r}")
    if changed:
        raise cached.refusal(path, changed)
    return PartCalibration(
        part=part,
        provenance=found.provenance,
        tensors=cached.unpacked(folder, found),
        peaks=found.peaks,
    )


def _document(made: PartCalibration, arrays: File) -> dict[str, object]:
    return cached.sealed(
        cached.Document(
            part=made.part,
            provenance=made.provenance,
            arrays=arrays,
            tensors={name: _tensor(name, each) for name, each in made.tensors.items()},
            peaks={name: float(peak) for name, peak in made.peaks.items()},
        )
    )


def _tensor(name: str, held: Statistics) -> cached.Tensor:
    try:
        ranges = {str(method): peak_of(held, method) for method in METHODS}
    except InputError as error:
        raise InputError(f"tensor {name!r}: {error}") from error
    return cached.Tensor(
        shape=held.shape,
        count=held.count,
        low=held.low,
        high=held.high,
        peak=held.peak,
        average=held.average,
        width=held.width,
        ranges=ranges,
    )


def _changes(made: Provenance, expected: Provenance) -> Iterator[str]:
    for what, was, now in _digests(made, expected):
        if was != now:
            yield f"the {what} changed (it was {_short(was)}, is {_short(now)})"
    for modality in sorted({*made.samples, *expected.samples}):
        before, after = (each.samples.get(modality, 0) for each in (made, expected))
        if before != after:
            yield f"the samples of {modality} were {before}, are {after}"


def _digests(made: Provenance, expected: Provenance) -> Iterator[tuple[str, str, str]]:
    yield "calibration set", made.set, expected.set
    yield "graph", made.graph, expected.graph
    for modality in sorted({*made.preprocessing, *expected.preprocessing}):
        was, now = (each.preprocessing.get(modality, "") for each in (made, expected))
        yield f"preprocessing of {modality}", was, now


def _absent(what: str, names: Collection[str], known: Mapping[str, object]) -> list[str]:
    absent = sorted(set(names) - set(known))
    if not absent:
        return []
    more = f" and {len(absent) - LISTED} more" if len(absent) > LISTED else ""
    listed = ", ".join(map(repr, absent[:LISTED])) + more
    return [f"it has no {what} of {listed}, which the graph has"]


def _short(digest: str) -> str:
    return f"{digest[:SHOWN]}…" if digest else "none"


def _put(path: Path, content: bytes) -> None:
    """Write a file beside its place, bring it to the disk, then move it there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sweep(folder: Path, part: str, kept: str) -> None:
    """Remove the arrays of the part's earlier calibrations, and what a killed writer left."""
    arrays = rf"{re.escape(part)}\.[0-9a-f]{{{cached.MARK}}}\.npz"
    old = re.compile(rf"{arrays}|\.({arrays}|{re.escape(part)}\.json)\.[0-9]+")
    for path in folder.iterdir():
        if path.name != kept and old.fullmatch(path.name):
            path.unlink(missing_ok=True)
