"""Calibration sets that are written: what makes a manifest of samples that lie in a folder."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from edgespark.calibration.set_files import Watch, fingerprint, folder, used
from edgespark.calibration.set_manifest import (
    NAME,
    File,
    Modality,
    SetManifest,
    bytes_from_manifest,
    told,
)
from edgespark.calibration.set_reader import CalibrationSet, check_modality
from edgespark.runtime.errors import InputError, OutputError


def write_set(
    path: str | Path,
    modalities: Mapping[str, Modality],
    *,
    seed: int = 0,
    replace: bool = False,
    watch: Watch = nullcontext,
) -> CalibrationSet:
    """Hash the files that the samples are read from, and write the manifest beside them.

    `seed` is what the samples were drawn with; `watch` shows how far the hashing is. The manifest
    is written whole beside its place and moved there. OutputError where there is one already,
    unless it is to be replaced, and where it cannot be written; InputError that names every file
    that is missing or leads out of the folder, and for what no manifest can say.
    """
    root = folder(path)
    check_place(root, replace=replace)
    files = _files(root, dict(modalities), watch)
    try:
        made = SetManifest(seed=seed, modalities=dict(modalities), files=files)
    except ValueError as error:
        raise InputError(f"{root}: {error}") from error
    for modality in made.modalities.values():
        check_modality(root, modality)
    _write(root / NAME, bytes_from_manifest(made))
    return CalibrationSet(root, made)


def check_place(root: Path, *, replace: bool) -> None:
    """Refuse to write over a manifest unasked, and ever over what is none: OutputError."""
    place = root / NAME
    if not os.path.lexists(place):
        return
    if not place.is_file() or place.is_symlink():
        raise OutputError(f"{place}: is no regular file, and is not replaced")
    if not replace:
        raise OutputError(f"{place}: is there already; --replace writes over it")


def _files(root: Path, modalities: dict[str, Modality], watch: Watch) -> tuple[File, ...]:
    with watch(sorted(used(root, modalities))) as paths:
        made = [_fingerprint(root, path) for path in paths]
    if problems := [each for each in made if isinstance(each, str)]:
        raise InputError(told(str(root), problems))
    return tuple(each for each in made if isinstance(each, File))


def _fingerprint(root: Path, path: str) -> File | str:
    try:
        return fingerprint(root, path)
    except ValueError as error:  # InputError is one
        return str(error)


def _write(place: Path, content: bytes) -> None:
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        try:
            with draft.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(place)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{place}: cannot be written: {error.strerror}") from error
