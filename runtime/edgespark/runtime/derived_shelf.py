"""All that lies in `derived/`: what serves a bundle's graphs, and what is stale."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import Found, find, fingerprint, folders
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import Graph, Part

NAME = re.compile(r"[0-9a-f]{32}")
LOWERINGS = tuple(each.lowering for each in DEVICES.values() if each.lowering)

Wanted: TypeAlias = tuple[Part, Graph, str]  # a graph, and what lowers it


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A folder that holds, or should hold, a derived graph.

    It is stale where no graph of the bundle has that fingerprint; otherwise it is of `wanted`, and
    `problem` says why nothing can be had of it, where that is so.
    """

    folder: Path
    wanted: Wanted | None = None
    found: Found | None = None
    problem: str = ""

    @property
    def stale(self) -> bool:
        """Whether no graph of the bundle asks for it."""
        return self.wanted is None

    @property
    def bytes(self) -> int:
        """Count the bytes of its files, as they lie there; what is being removed has none."""
        return sum(map(_size, self._files()))

    def _files(self) -> Iterator[Path]:
        if self.folder.is_symlink():
            return  # what it leads to is not the bundle's, and may be a whole disk
        for folder, _, names in os.walk(self.folder):
            yield from (Path(folder, name) for name in names)


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.lstat().st_size
    return 0


def fingerprints(bundle: Bundle, lowerings: Iterable[str] = LOWERINGS) -> Mapping[str, Wanted]:
    """Return by name every folder that a graph of the bundle may have."""
    return {
        fingerprint(bundle, part, graph, lowering): (part, graph, lowering)
        for lowering in lowerings
        for part in bundle.manifest.parts
        for graph in part.graphs
    }


def entries(bundle: Bundle, lowerings: Iterable[str] = LOWERINGS) -> tuple[Entry, ...]:
    """Return what lies in the bundle's `derived/`, and of this bundle's in $EDGESPARK_CACHE.

    What serves its graphs comes first, in their order.
    What is stale is only told of the bundle's own folder: the other may serve several bundles.
    BundleError where `derived` leads out of the bundle.
    """
    known = fingerprints(bundle, lowerings)
    own, *others = folders(bundle)
    seen = {path.name: path for path in _named(own)}
    for other in others:
        seen |= {p.name: p for p in _named(other) if p.name in known and p.name not in seen}
    names = [*(name for name in known if name in seen), *sorted(seen.keys() - known.keys())]
    return tuple(_entry(bundle, seen[name], known.get(name)) for name in names)


def _named(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if NAME.fullmatch(path.name))
    except OSError:
        return  # not there; one that cannot be read is told where a graph of it is looked for


def _entry(bundle: Bundle, path: Path, wanted: Wanted | None) -> Entry:
    if wanted is None:
        return Entry(folder=path)
    try:
        return Entry(folder=path, wanted=wanted, found=find(bundle, *wanted))
    except BundleError as error:
        return Entry(folder=path, wanted=wanted, problem="; ".join(error.problems))
