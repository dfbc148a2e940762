"""The folder that derived graphs are written to: locked, swept, and filled one whole folder a time.

A folder is written as `.NAME.draft`, its record last, and moved into place by one rename; who reads
looks for NAME alone. One process at a time writes: the kernel drops the lock of a killed one, and
the next removes its drafts.
"""

import errno
import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import CACHE, folders
from edgespark.runtime.derived_record import FILE, Derived
from edgespark.runtime.errors import EdgesparkError, EdgesparkWarning, OutputError

__all__ = ["Shelf", "open_shelf", "own_shelf"]

LOCK, DRAFT = ".lock", ".draft"
READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
OCCUPIED = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Shelf:
    """A locked folder of derived graphs."""

    folder: Path

    def check_room(self, needed: int, what: str) -> None:
        """Refuse to begin what the disk cannot hold: OutputError with both numbers of bytes."""
        with told(self.folder):
            free = shutil.disk_usage(self.folder)[2]
        if free < needed:
            raise OutputError(
                f"{self.folder}: {what} needs about {needed} bytes, {free} are free: make room"
            )

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """Give an empty folder to fill; what `place` has not moved away is removed on leaving."""
        draft = self.folder / f".{name}{DRAFT}"
        try:
            with told(self.folder):
                _remove(draft)
                draft.mkdir()
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # what stays is swept by the next build

    def place(self, draft: Path, name: str, record: Derived) -> Path:
        """Bring a draft to the disk, its record last, and move it to its name; return the place.

        What was there before goes when all of the draft is on the disk.
        """
        with told(self.folder):
            for each in sorted(draft.iterdir()):
                _sync(each)
            text = json.dumps(asdict(record), indent=1, allow_nan=False)
            (draft / FILE).write_text(f"{text}\n", encoding="utf-8")
            _sync(draft / FILE)
            _sync(draft)
            self._clear(name)  # only now: until here what is there stays
            place = self.folder / name
            draft.rename(place)
            _sync(self.folder)
        return place

    def remove(self, name: str) -> bool:
        """Remove a folder, or a link to one, so that no half of it is ever found.

        Tells whether it was there.
        """
        with told(self.folder):
            return self._clear(name)

    def _clear(self, name: str) -> bool:
        aside = self.folder / f".{name}.{os.getpid()}{DRAFT}"
        _remove(aside)
        try:
            (self.folder / name).rename(aside)
        except FileNotFoundError:
            return False
        _discard(aside)
        return True


@contextmanager
def open_shelf(bundle: Bundle) -> Iterator[Shelf]:
    """Give the bundle's own folder, or that of $EDGESPARK_CACHE where the bundle is read-only.

    Waits for another process that writes there, with a warning. OutputError where neither can be
    written; BundleError where the bundle's own leads out of it.
    """
    with _first(folders(bundle), f"let {CACHE} name a folder that can be") as shelf:
        yield shelf


@contextmanager
def own_shelf(bundle: Bundle) -> Iterator[Shelf]:
    """Give the bundle's own folder; waits and raises as `open_shelf`."""
    with _first([next(folders(bundle))], "let it be written, or prune nothing") as shelf:
        yield shelf


@contextmanager
def _first(several: Iterable[Path], todo: str) -> Iterator[Shelf]:
    """Give the first folder that is not read-only; OutputError, with what to do, for none."""
    refused = []
    for folder in several:
        try:
            lock = _locked(folder)
        except OSError as error:
            refused.append((folder, error))
            if error.errno not in READ_ONLY:
                break
            continue
        try:
            with told(folder):
                _sweep(folder)
            yield Shelf(folder)
        finally:
            os.close(lock)
        return
    folder, last = refused[-1]
    where, reason = last.filename or folder, last.strerror or last
    if last.errno in OCCUPIED:
        todo = "something else lies in its place, or in that of a folder above: move that away"
    raise OutputError(f"{where} cannot be written: {reason}; {todo}") from last


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into an OutputError that says what to do."""
    try:
        yield
    except EdgesparkError:
        raise
    except OSError as error:
        where, reason = error.filename or folder, error.strerror or error
        if error.errno == errno.ENOENT:
            todo = "it was removed meanwhile: give the same command again"
        elif error.errno in FULL:
            todo = "what was finished before is kept: make room and give the same command again"
        else:
            todo = "what was finished before is kept: mend that"
        raise OutputError(f"{where}: cannot be written: {reason}; {todo}") from error


def _locked(folder: Path) -> int:
    """Make the folder and lock it; where that was deleted meanwhile, again."""
    for _ in range(ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        lock = os.open(folder / LOCK, flags, 0o666)
        try:
            _wait(lock, folder)
            if os.fstat(lock).st_nlink:
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise OSError(errno.EAGAIN, "it comes and goes", str(folder))


def _wait(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = f"another build writes to {folder}: waiting until it ends"
        warnings.warn(text, EdgesparkWarning, stacklevel=4)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half written."""
    for each in folder.glob(f".*{DRAFT}"):
        _discard(each)


def _discard(path: Path) -> None:
    """Remove what nobody reads; what cannot be removed is in nobody's way, and told."""
    try:
        _remove(path)
    except OSError as error:
        text = f"{path} cannot be removed: {error.strerror or error}; remove it by hand"
        warnings.warn(text, EdgesparkWarning, stacklevel=4)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
