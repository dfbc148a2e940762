"""Calibration sets that are read: judged and hashed as a whole, then given sample by sample."""

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.set_files import Watch, faults, folder, located, used
from edgespark.calibration.set_manifest import (
    LONGEST,
    NAME,
    Item,
    Items,
    Modality,
    Rows,
    SetManifest,
    manifest_from_bytes,
    told,
)
from edgespark.calibration.set_options import FILES, argument_text
from edgespark.calibration.set_rows import KINDS, open_rows, row
from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError, MissingInput, UnknownModality
from edgespark.runtime.npy import npy_file
from edgespark.runtime.wording import near

ADVICE = (
    "bring the files back as they were, or make the manifest anew: edgespark sample … --replace"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One input of a modality, as the runtime's `prepare` takes it, and what is right about it.

    `where` says which sample of the set it is, for messages.
    """

    value: object
    label: int | None = None
    target: NDArray[Any] | None = None
    question: str | None = None
    answer: str | None = None
    where: str


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """An opened set: its folder, with links resolved, and what its manifest says.

    Every file was hashed when it was opened. Memory does not grow with the number of rows, and with
    that of items by their lines of the manifest alone.
    """

    root: Path
    manifest: SetManifest

    @classmethod
    def open(cls, path: str | Path, watch: Watch = nullcontext) -> "CalibrationSet":
        """Read and judge the manifest, and hash every file; `watch` shows how far that is.

        Raises MissingInput where no set is, InputError that names every problem: of the manifest;
        files that are missing or were changed; files that samples need and it does not name.
        """
        root = folder(path)
        made = cls(root, manifest_from_bytes(_content(root), str(root / NAME)))
        if changed := faults(root, made.manifest.files, watch):
            raise InputError(told(f"{root}: its files are not as {NAME} says", [*changed, ADVICE]))
        if strange := list(strangers(root, made.manifest)):
            raise InputError(told(str(root / NAME), [*strange, ADVICE]))
        for modality in made.manifest.modalities.values():
            check_modality(root, modality)
        return made

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical manifest, which covers what every file hashes to."""
        return self.manifest.digest

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it has samples of, at least one each."""
        return tuple(self.manifest.modalities)

    def count(self, modality: str) -> int:
        """Return the number of samples; UnknownModality where the set has none of it."""
        found = self._modality(modality)
        return len(found.items) if isinstance(found, Items) else len(self.rows(modality)["input"])

    def samples(self, modality: str) -> Iterator[Sample]:
        """Give the samples in the manifest's order, each read when it is wanted.

        Raises UnknownModality as `count`, InputError where a row cannot be read.
        """
        found = self._modality(modality)
        if isinstance(found, Items):
            return self._items(modality, found)
        return self._rows(modality, found)

    def rows(self, modality: str) -> Mapping[str, Any]:
        """Return the unread arrays of a modality that lies in rows; {} for one of items."""
        found = self._modality(modality)
        return open_rows(self.root / found.folder) if isinstance(found, Rows) else {}

    def _modality(self, name: str) -> Modality:
        known = self.manifest.modalities
        if name not in known:
            raise UnknownModality(
                f"{self.root}: no samples of {name!r}{near(name, known)}; "
                f"there are of: {', '.join(known)}"
            )
        return known[name]

    def _items(self, name: str, modality: Items) -> Iterator[Sample]:
        for i, item in enumerate(modality.items):
            where = f"sample {i} of {name} ({argument_text(item.path, item.options)[1:]})"
            target = None if item.target is None else _target(self.root / item.target)
            yield Sample(
                value=_argument(self.root, item),
                label=item.label,
                target=target,
                question=item.question,
                answer=item.answer,
                where=where,
            )

    def _rows(self, name: str, rows: Rows) -> Iterator[Sample]:
        files = open_rows(self.root / rows.folder)
        for i in range(len(files["input"])):
            made = row(files, i)
            target = made.pop("target", None)
            yield Sample(
                value=made.pop("input"),
                target=None if target is None else np.asarray(target),
                where=f"row {i} of {name}",
                **made,
            )


def check_modality(root: Path, modality: Modality) -> None:
    """Look at the headers of rows, and at the names of items; InputError as in `open`."""
    if isinstance(modality, Rows):
        open_rows(root / modality.folder)
        return
    for item in modality.items:
        _argument(root, item)


def strangers(root: Path, manifest: SetManifest) -> Iterator[str]:
    """Tell which files samples need that the manifest does not name, and which no sample needs."""
    named, needed = {file.path for file in manifest.files}, used(root, manifest.modalities)
    yield from (
        f"{at}: {path!r} is not among the files" for path, at in needed.items() if path not in named
    )
    yield from (
        f"$.files[{i}].path: no sample is read from {file.path!r}"
        for i, file in enumerate(manifest.files)
        if file.path not in needed
    )


def _content(root: Path) -> bytes:
    try:
        with located(root, NAME).open("rb") as stream:
            return stream.read(LONGEST + 1)
    except MissingInput as error:
        raise MissingInput(
            f"{root}: no {NAME} in it, so this is no calibration set; make one of the samples that "
            f'you have: edgespark sample {root} --input "msi=*.tif"'
        ) from error
    except InputError as error:
        raise InputError(f"{root}: {error}") from error


def _argument(root: Path, item: Item) -> Argument:
    """Return the item as it would stand on the command line."""
    path = root / item.path
    options = {k: str(root / v) if k in FILES else v for k, v in item.options.items()}
    made = argument_text(str(path), options)
    if options and os.path.lexists(made[1:]):  # such a file would be read instead
        raise InputError(f"{made[1:]!r} is the name of a file; give that another name")
    return Argument(made)


def _target(path: Path) -> NDArray[Any]:
    found = npy_file(path)
    if found.dtype.kind not in KINDS["target"]:
        raise InputError(f"{path}: holds {found.dtype}; expected numbers")
    made = found.astype(found.dtype)
    if not np.isfinite(made).all():
        raise InputError(f"{path}: holds what is not finite")
    return made
