"""Text in arrays, whose letters are 32-bit numbers: a file may hold such as are no letters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LAST = 0x10FFFF
"""The last code point of Unicode; of a greater one Python makes a str that nothing can take."""


def has_letters(array: NDArray[Any]) -> bool:
    """Tell whether an array of text holds code points of Unicode alone; true of any other array."""
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return True
    numbers = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
    return bool(np.ascontiguousarray(array).reshape(-1).view(numbers).max() <= LAST)
