"""How fast this machine reads memory: two arrays far larger than any cache, a thread for each.

    python -m benchmarks.peers.bandwidth THREADS

Each thread goes over 256 MB of its own with three kernels of numpy and the C library that only
read (`bitwise_or.reduce`, `max`, `memchr`). The figure is that of the fastest pass: a bound of
what can be had, and others cannot make it larger. The last line is one JSON document.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

BYTES = 256 << 20
PASSES = 12
Array = NDArray[np.uint64]


def searched(array: Array) -> None:
    """Look for a byte that is not there."""
    library = ctypes.CDLL(None)
    library.memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    library.memchr(array.ctypes.data, 255, array.nbytes)


KERNELS: tuple[Callable[[Array], object], ...] = (np.bitwise_or.reduce, np.max, searched)


def fastest(threads: int) -> float:
    """Return gigabytes per second of all threads together."""
    arrays = [np.ones(BYTES // 8, np.uint64) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for kernel in KERNELS * PASSES:
            start = time.perf_counter()
            list(pool.map(kernel, arrays))
            best = max(best, threads * BYTES / (time.perf_counter() - start) / 1e9)
    return best


if __name__ == "__main__":
    print(json.dumps({"gb_s": fastest(int(sys.argv[1]))}))
