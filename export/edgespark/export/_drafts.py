"""Where bundles are written before they are published: locked folders beside their destination.

A draft folder `.NAME.draft-TOKEN` holds `lock`, which its process keeps flocked while it lives, and
`bundle`. The kernel drops the lock of a killed process, so that an unlocked draft is a left one; an
old bundle that was exchanged out lies in the draft folder too, and goes with it.
"""

import fcntl
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgespark.runtime.errors import EdgesparkWarning, OutputError

LOCK = "lock"
BUNDLE = "bundle"
TOKEN_BYTES = 8
ATTEMPTS = 8


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """Give a locked draft folder with an empty `bundle` in it, and remove it in the end."""
    folder, lock = _create(place)
    try:
        (folder / BUNDLE).mkdir()
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def sweep(place: Path) -> None:
    """Remove the drafts that killed processes left; the drafts of live ones stay."""
    token = f"[0-9a-f]{{{2 * TOKEN_BYTES}}}"
    name = re.compile(rf"\.{re.escape(place.name)}\.draft-{token}")
    with os.scandir(place.parent) as entries:
        left = [each for each in entries if name.fullmatch(each.name) and not each.is_symlink()]
    for folder in (Path(each.path) for each in left):
        lock = _lock(folder, os.O_RDWR)
        if lock is not None:
            _remove(folder)
            os.close(lock)
        else:
            # Killed before it had a lock or after it lost it: empty. A live one is never empty.
            with suppress(OSError):
                folder.rmdir()


def _create(place: Path) -> tuple[Path, int]:
    for _ in range(ATTEMPTS):
        token = secrets.token_hex(TOKEN_BYTES)
        folder = place.with_name(f".{place.name}.draft-{token}")
        folder.mkdir()
        lock = _lock(folder, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if lock is not None:
            return folder, lock
    raise OutputError(f"{place}: no draft could be locked beside it; is another export running?")


def _lock(folder: Path, flags: int) -> int | None:
    """Return the descriptor that locks the folder, or None where another process has it."""
    try:
        descriptor = os.open(folder / LOCK, flags | os.O_NOFOLLOW, 0o600)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep may have come between making a folder and locking it: then the lock is unlinked.
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _remove(folder: Path) -> None:
    """Remove a folder whose lock this process holds; the lock goes last, or a sweep would join."""
    try:
        for each in folder.iterdir():
            if each.name != LOCK:
                shutil.rmtree(each)
        (folder / LOCK).unlink()
        with suppress(FileNotFoundError):  # a sweep may take the empty folder first
            folder.rmdir()
    except OSError as error:
        text = f"{folder} is left behind ({error.strerror}); it can be deleted by hand"
        warnings.warn(text, EdgesparkWarning, stacklevel=2)
