"""What an interrupted export leaves for the next: finished graphs with their weights.

A folder `.NAME.kept-FINGERPRINT` beside the bundle to be holds them while a large export runs. It
goes when the bundle is in place, and stays where the export ends in any other way. Only what stands
in its ledger is whole; the fingerprint binds it to the weights and versions it was made of. What
lies in it and was written by no export is never removed, and the folder then stays too.
"""

import errno
import fcntl
import glob
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgespark.export.finished import LEDGER, read, written
from edgespark.runtime.errors import EdgesparkError, EdgesparkWarning, OutputError

LOCK, LINK = "lock", "link"
ENDINGS = (".onnx", ".onnx.data")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ATTEMPTS = 8
LARGE = 10**8  # bytes that are told in GB


class Kept:
    """A locked folder of finished files."""

    def __init__(self, folder: Path) -> None:
        """Read which files of the folder are finished; what was left half written is removed."""
        self.folder = folder
        self._finished = read(folder)
        self._drop(each.name for each in folder.iterdir() if each.name not in self._finished)

    @property
    def bytes(self) -> int:
        """Count the bytes of what is finished."""
        return sum(each.size for each in self._finished.values())

    def knows(self, names: tuple[str, ...]) -> bool:
        """Tell whether files of these names are finished, of whatever they are made."""
        return all(name in self._finished for name in names)

    def has(self, names: tuple[str, ...], of: str) -> bool:
        """Tell whether these files are finished; those that are of something else are removed."""
        if all(name in self._finished and self._finished[name].of == of for name in names):
            return True
        for name in names:
            self._finished.pop(name, None)
        self._drop(iter(names))
        return False

    def files(
        self, names: tuple[str, ...], of: str, make: Callable[[Path], None]
    ) -> tuple[Path, ...]:
        """Return these files of the folder; where one is not finished, `make` writes them all.

        Their names end as ENDINGS have it; `of` says what they are made of beside the weights.
        OutputError where the disk is full, or fails: what was finished before stays.
        """
        if not self.has(names, of):
            with self._told():
                try:
                    make(self.folder)
                    self._finished = written(self.folder, self._finished, names, of)
                finally:
                    self._drop(name for name in names if name not in self._finished)
        return tuple(self.folder / name for name in names)

    def remove(self) -> None:
        """Remove all that exports have written, and the folder; warn where that cannot be done."""
        try:
            for name in [*self._finished, LEDGER, LOCK]:
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()
        except OSError as error:
            text = f"{self.folder} is left behind ({error.strerror}); delete it by hand"
            warnings.warn(text, EdgesparkWarning, stacklevel=2)

    def _drop(self, names: Iterator[str]) -> None:
        for name in names:
            path = self.folder / name
            if name.endswith((*ENDINGS, ".draft")) and (path.is_file() or path.is_symlink()):
                path.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except EdgesparkError:
            raise
        except OSError as error:
            full = error.errno in FULL
            what = "is full" if full else f"cannot be written: {error.strerror or error}"
            todo = "make room" if full else "mend that"
            raise OutputError(
                f"the disk of {self.folder.parent} {what}; {todo} and give the same command again, "
                "which goes on from what is finished"
            ) from error


@contextmanager
def keep(place: Path, fingerprint: str) -> Iterator[Kept]:
    """Give the folder that is kept for a bundle at `place`, and remove it if all goes well.

    Where anything is kept in the end, a warning says so. OutputError where another export to that
    place is running, the folder cannot be made, or something else is in its place.
    """
    folder = place.with_name(f".{place.name}.kept-{fingerprint}")
    _tell_others(place, folder)
    with _locked(folder, place):
        kept = Kept(folder)
        try:
            yield kept
        except BaseException:
            (_tell_kept if kept.bytes else Kept.remove)(kept)
            raise
        kept.remove()


@contextmanager
def _locked(folder: Path, place: Path) -> Iterator[None]:
    try:
        lock = next(filter(None, (_lock(folder) for _ in range(ATTEMPTS))), None)
    except BlockingIOError:
        raise OutputError(f"{place}: another export of the same weights is running") from None
    except OSError as error:
        reason = f"{error.strerror or error}"
        raise OutputError(f"{folder} cannot be used to keep what is finished: {reason}") from error
    if lock is None:
        raise OutputError(f"{place}: other exports to the same place come and go; try again")
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Make the folder and lock it: the lock, or None where an export that ended removed it."""
    if folder.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "it is a link; move it away")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            _try_link(folder)
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _try_link(folder: Path) -> None:
    """Learn now, not after hours of work, whether a finished file can get into the bundle."""
    with suppress(FileNotFoundError):
        (folder / LINK).unlink()
    os.link(folder / LOCK, folder / LINK)
    (folder / LINK).unlink()


def _tell_kept(kept: Kept) -> None:
    text = (
        f"{_size(kept.bytes)} are finished and kept in {kept.folder}; the same command goes "
        "on from there, else delete it"
    )
    warnings.warn(text, EdgesparkWarning, stacklevel=4)


def _tell_others(place: Path, own: Path) -> None:
    """Tell what interrupted exports of another fingerprint to the same place have left.

    OutputError where one of them is still at work.
    """
    for other in sorted(place.parent.glob(f".{glob.escape(place.name)}.kept-*")):
        if other == own:
            continue
        if _at_work(other):
            raise OutputError(f"{place}: another export to it is running, of other weights")
        text = (
            f"{other} is kept of an interrupted export of other weights, or by other versions; "
            "delete it by hand"
        )
        warnings.warn(text, EdgesparkWarning, stacklevel=4)


def _at_work(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def check_room(place: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold: OutputError with both numbers."""
    folder = next(each for each in place.parents if each.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: the export needs about {_size(needed)} more, {_size(free)} are free: make "
            "room, or give another place"
        )


def _size(count: int) -> str:
    """Write a number of bytes so that two that differ look different."""
    return f"{count / 1e9:.2f} GB" if count >= LARGE else f"{count / 1e6:.2f} MB"
