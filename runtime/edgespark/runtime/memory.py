"""Memory that is taken for long: where there is not enough, the error says for what."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import DeviceError

MIB = 1 << 20
TOLD = Path("/proc/meminfo")  # Linux's; see proc_meminfo(5)


def zeros(shape: Sequence[int], dtype: str, what: str) -> Array:
    """Return an array of zeros; DeviceError, which says what it was for, if it does not fit."""
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more bytes than an address can count
        raise DeviceError(f"{what} {list(shape)} does not fit the memory") from error


def commit(arrays: Sequence[Array], what: str, advice: str) -> None:
    """Take the memory of arrays of zeros at once, which a system gives page by page otherwise.

    DeviceError, with both numbers and the advice, where that is more than the system has left: it
    would end this process, or another one. Where it does not say, nothing is compared.
    """
    needed, left = sum(array.nbytes for array in arrays), available()
    if left is not None and needed > left:
        raise DeviceError(
            f"{what} take {needed / MIB:,.0f} MiB, of which {left / MIB:,.0f} MiB are available: "
            f"{advice}"
        )
    for array in arrays:
        array.fill(0)


def available() -> int | None:
    """Return the bytes that can be taken without swapping; None where the system does not say."""
    with suppress(OSError, ValueError):
        for line in TOLD.read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * 1024
    return None
