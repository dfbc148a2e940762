"""Arrays in memory, whatever they came from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError


def array_from_value(value: object, expected: str) -> NDArray[Any]:
    """Return the numpy array of a value that has one; what is masked becomes NaN.

    InputError where there is none; `expected` says what was.
    """
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "iuf":
        return np.ma.filled(value.astype(np.float64), np.nan)
    if not hasattr(value, "__array__"):
        raise InputError(f"expected {expected}, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on another device, for one
        raise InputError(f"a {type(value).__name__} gives no numpy array: {error}") from error
