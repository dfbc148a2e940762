"""The calibrations of all parts in one folder: written whole, or not at all."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from edgespark.calibration.ranges import PartCalibration, save
from edgespark.runtime.errors import OutputError
from edgespark.runtime.wording import listed

OWN = re.compile(r"(.+)\.json|(.+)\.[0-9a-f]{16}\.npz")
"""What lies in such a folder."""


def check_folder(folder: Path) -> None:
    """Refuse a place that calibrations cannot, or must not, replace: OutputError."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is no folder, and is not replaced; give another with --out")
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror}") from error
    if strange := [name for name in names if not OWN.fullmatch(name)]:
        raise OutputError(
            f"{folder}: holds {listed(strange)}, which is no calibration, and is not replaced; "
            "give another folder with --out"
        )


def save_all(folder: Path, made: Iterable[PartCalibration]) -> None:
    """Write the calibrations of some parts in place of all that the folder held before.

    They are written beside it first: what lay there stays as it was until all are on the disk.
    OutputError where they cannot be written, or something else lies there.
    """
    check_folder(folder)
    place = folder.resolve()
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        for each in made:
            save(draft, each)
        _exchange(draft, place)
    except OutputError as error:
        raise OutputError(f"{folder}: nothing was written: {error}") from error
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written: {error.strerror}; give another folder with --out"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exchange(draft: Path, place: Path) -> None:
    """Move the draft to its place; what is there already goes when the new one stands."""
    if not place.exists():
        draft.rename(place)
        return
    old = draft.with_name(f"{draft.name}.old")
    place.rename(old)
    try:
        draft.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
