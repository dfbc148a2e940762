"""Memory that is taken for long: where there is not enough, the error says for what."""

from collections.abc import Sequence

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import DeviceError


def zeros(shape: Sequence[int], dtype: str, what: str) -> Array:
    """Return an array of zeros; DeviceError, which says what it was for, if it does not fit."""
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more bytes than an address can count
        raise DeviceError(f"{what} {list(shape)} does not fit the memory") from error
