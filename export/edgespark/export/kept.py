"""What an interrupted export leaves for the next: finished graphs with their weights.

A folder `.NAME.kept-FINGERPRINT` beside the bundle to be holds them while a large export runs. It
goes when the bundle is in place, and stays where the export ends in any other way. Only what stands
in its ledger is whole; the fingerprint binds it to the weights and versions it was made of.
"""

import errno
import fcntl
import glob
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgespark.runtime.errors import EdgesparkWarning, OutputError

LEDGER, LOCK = "finished.json", "lock"


class Kept:
    """A locked folder of finished files."""

    def __init__(self, folder: Path) -> None:
        """Read which files of the folder are finished; what is not is removed."""
        self.folder = folder
        self._sizes = _ledger(folder)
        for each in folder.iterdir():
            if each.name not in (*self._sizes, LEDGER, LOCK):
                each.unlink()

    @property
    def bytes(self) -> int:
        """Count the bytes of what is finished."""
        return sum(self._sizes.values())

    def files(self, names: tuple[str, ...], make: Callable[[Path], None]) -> tuple[Path, ...]:
        """Return these files of the folder; where one is not finished, `make` writes them all.

        OutputError where the disk is full: what was finished before stays.
        """
        if not all(name in self._sizes for name in names):
            with self._room():
                make(self.folder)
                self._sizes |= {name: (self.folder / name).stat().st_size for name in names}
                self._write()
        return tuple(self.folder / name for name in names)

    def _write(self) -> None:
        draft = self.folder / f"{LEDGER}.draft"
        draft.write_text(json.dumps(self._sizes))
        draft.replace(self.folder / LEDGER)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutputError(
                f"the disk of {self.folder.parent} is full: {self.bytes / 1e9:.1f} GB are finished "
                "and kept; make room and give the same command again, which goes on from there"
            ) from error


@contextmanager
def keep(place: Path, fingerprint: str) -> Iterator[Kept]:
    """Give the folder that is kept for a bundle at `place`, and remove it if all goes well.

    OutputError where another export to that place is running.
    """
    folder = place.with_name(f".{place.name}.kept-{fingerprint}")
    _tell_others(place, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, place):
        kept, done = Kept(folder), False
        try:
            yield kept
            done = True
        finally:
            if done or not kept.bytes:
                shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, place: Path) -> Iterator[None]:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OutputError(f"{place}: another export of the same weights is running") from None
    finally:
        os.close(lock)


def _tell_others(place: Path, own: Path) -> None:
    """Tell what interrupted exports of another fingerprint to the same place have left."""
    for other in sorted(place.parent.glob(f".{glob.escape(place.name)}.kept-*")):
        if other != own:
            text = (
                f"{other} is kept of an interrupted export of other weights, or by other versions; "
                "delete it by hand"
            )
            warnings.warn(text, EdgesparkWarning, stacklevel=4)


def check_room(place: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold: OutputError with both numbers."""
    folder = next(each for each in place.parents if each.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: the export needs about {needed / 1e9:.1f} GB more, {free / 1e9:.1f} GB are "
            "free: make room, or give another place"
        )


def _ledger(folder: Path) -> dict[str, int]:
    """Return the finished files that are still there, by name, and their sizes."""
    try:
        told = json.loads((folder / LEDGER).read_bytes())
        return {name: size for name, size in told.items() if _size(folder / name) == size}
    except (OSError, ValueError, AttributeError):
        return {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
