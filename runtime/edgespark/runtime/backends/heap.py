"""What loading large weights leaves in the C library's heap, given back to the system."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
APART, WITHIN = 1 << 18, 1 << 25  # bytes
"""From these sizes on a block is mapped apart while weights are loaded, and afterwards: 256 KiB,
and 32 MiB, to which glibc raises its own threshold by and by."""


@contextmanager
def emptied() -> Iterator[None]:
    """Let what is freed within the block go back to the system at once, or at its end.

    ONNX Runtime rewrites weights one by one as it loads them, and glibc keeps what was freed of
    blocks up to 32 MiB: INT4 weights of 3.6 GB took 5.9 GB so, and take 4.1 GB. The process's
    thresholds stay fixed afterwards. Does nothing where the C library is another than glibc.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(MMAP_THRESHOLD, APART)
    try:
        yield
    finally:
        libc.mallopt(MMAP_THRESHOLD, WITHIN)
        libc.mallopt(TRIM_THRESHOLD, 2 * WITHIN)
        libc.malloc_trim(0)
