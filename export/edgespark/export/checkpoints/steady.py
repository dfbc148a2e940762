"""Mapped files that must stay as they are while they are read.

A page of a mapped file that is no longer there, since the file was cut off, ends the process at
once (SIGBUS). So a file is looked at before each of its tensors is read, and the tensor's pages are
asked for in a way that fails instead. What is cut off while the pages are being read still ends it.
"""

import ctypes
import errno
import mmap
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from edgespark.runtime.errors import InputError

POPULATE_READ = 22  # MADV_POPULATE_READ of madvise(2), since Linux 5.14


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a file was when it was opened."""

    path: Path
    size: int
    changed: int  # ns

    def check(self) -> None:
        """Raise InputError where the file is another one by now, or gone."""
        try:
            now = state(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: gone while it was read ({error.strerror})") from error
        if now != self:
            raise InputError(
                f"{self.path}: changed while it was read; let it be, and give the same again"
            )


def state(path: Path) -> State:
    """Look at a file; OSError where it is not there."""
    found = path.stat()
    return State(path=path, size=found.st_size, changed=found.st_mtime_ns)


def present(name: str, tensor: Tensor) -> None:
    """Bring a mapped tensor's pages into memory; InputError where they cannot be read."""
    if tensor.numel():
        start = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
        reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        end = tensor.data_ptr() + (reach + 1) * tensor.element_size()
        if _advise(start, end - start) == errno.EFAULT:
            raise InputError(
                f"the numbers of {name} cannot be read: its file was cut off meanwhile, or is on a "
                "bad disk"
            )


def _advise(start: int, size: int) -> int:
    """Ask the kernel for pages; give 0, or why not: an older one says EINVAL, and reads later."""
    call = ctypes.CDLL(None, use_errno=True).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return ctypes.get_errno() if call(start, size, POPULATE_READ) else 0
