"""Two moves of a folder that either happen whole or not at all: Linux's renameat2(2)."""

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
NOREPLACE = 1
EXCHANGE = 2
NOT_HERE = "this filesystem cannot move or exchange folders atomically; use another one"
REASONS = {
    errno.EEXIST: "something was put there meanwhile",
    errno.ENOENT: "what was there vanished meanwhile",
    errno.ENOSYS: "an atomic move needs Linux with renameat2",
    errno.EINVAL: NOT_HERE,
    errno.EOPNOTSUPP: NOT_HERE,
    errno.EXDEV: NOT_HERE,
}


def move(source: Path, target: Path) -> None:
    """Move a folder to where nothing is; OSError (EEXIST) where something is."""
    _renameat2(source, target, NOREPLACE)


def exchange(one: Path, other: Path) -> None:
    """Let two folders change places; OSError (ENOENT) where either is missing."""
    _renameat2(one, other, EXCHANGE)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another libc, or another system
        raise OSError(errno.ENOSYS, REASONS[errno.ENOSYS], str(target)) from None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if call(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags):
        code = ctypes.get_errno()
        raise OSError(code, REASONS.get(code, os.strerror(code)), str(target))
