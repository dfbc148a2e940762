"""Graphs that were made of a bundle's own for one kind of machine: `derived/FINGERPRINT/` each.

They lie in the bundle's folder, or in that which $EDGESPARK_CACHE names, where a bundle cannot be
written. The bundle's hashes do not cover them: each says by hash what it was made of, and what its
own files hold. To delete them is always safe: the portable graphs run then.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgespark.runtime import _decode
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import DERIVED, File, Graph, Part, Port, Precision, State

FORMAT = "edgespark-derived"
VERSION = 1
FILE = "derived.json"
CACHE = "EDGESPARK_CACHE"  # the variable that names another folder of such folders
LIMIT = 1 << 20  # bytes of the record


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """What one derived graph is made of, and what it takes and gives.

    `lowering` names the target and the revision of its passes, as in "cpu-1". `source` are the
    SHA-256 of the portable graph and of its data files; `onnxruntime` is the oldest version that
    runs what came out. `states` are kept in place: `past` and `new` are one memory, [batch 1,
    heads, context, head_dim], in which the graph writes the rows of this step itself. Where they
    are int8, a value is its code times `step`. Paths of files are relative to the folder.
    """

    format: str = FORMAT
    version: int = VERSION
    lowering: str
    part: str
    precision: Precision
    source: tuple[str, ...]
    onnxruntime: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...] = ()
    file: File
    data: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A derived graph on disk: its record, and its files, hashed when they are read."""

    record: Derived
    files: Bundle


def fingerprint(graph: Graph, lowering: str) -> str:
    """Return the name of the folder of what a lowering makes of the graph: 32 hex digits."""
    told = "\n".join((lowering, *sources(graph)))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def sources(graph: Graph) -> tuple[str, ...]:
    """Return the SHA-256 of the graph and of its data files."""
    return tuple(file.sha256 for file in (graph.file, *graph.data))


def folders(bundle: Bundle) -> Iterator[Path]:
    """Give the folders in which derived graphs are looked for, the bundle's own first."""
    yield bundle.root / DERIVED
    if named := os.environ.get(CACHE):
        yield Path(named)


def find(bundle: Bundle, part: Part, graph: Graph, lowering: str) -> Found | None:
    """Return what the lowering made of the part's graph; None where nothing lies there.

    BundleError, which says to delete it, for a record that is broken or of something else.
    """
    name = fingerprint(graph, lowering)
    for folder in folders(bundle):
        if (folder / name / FILE).is_file():
            record = _read(folder / name / FILE)
            _check(record, part, graph, lowering, folder / name)
            return Found(record=record, files=replace(bundle, root=(folder / name).resolve()))
    return None


def _read(path: Path) -> Derived:
    with path.open("rb") as stream:
        content = stream.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise _broken(path.parent, [f"has more than {LIMIT} bytes"])
    try:
        value = _decode.parse(content.decode())
    except ValueError as error:
        raise _broken(path.parent, [f"is no strict JSON: {error}"]) from None
    made, problems = _decode.decode(Derived, value)
    if made is None:
        raise _broken(path.parent, problems)
    return made


def _check(made: Derived, part: Part, graph: Graph, lowering: str, folder: Path) -> None:
    wanted = (FORMAT, VERSION, lowering, part.name, graph.precision, sources(graph))
    has = (made.format, made.version, made.lowering, made.part, made.precision, made.source)
    if has != wanted:
        raise _broken(folder, [f"is of {has}, expected {wanted}"])


def _broken(folder: Path, problems: list[str]) -> BundleError:
    advice = "delete this folder, and run `edgespark build` again"
    return BundleError(str(folder / FILE), [*problems, advice])
