"""Whether the samples of a modality differ at all: ranges of one value say nothing."""

import hashlib
import warnings
from collections.abc import Mapping

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import EdgesparkWarning, InputError

LIKE_IMAGES = 3
"""Axes of more than one place: bands, rows and columns at least."""


class Variety:
    """Looks at each prepared sample of a modality, and keeps next to nothing of it."""

    def __init__(self, modality: str) -> None:
        """Look at the samples of that modality."""
        self.modality = modality
        self._count = 0
        self._constant = True
        self._alike = True
        self._first = b""

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Look at one sample's arrays."""
        digest = _digest(arrays)
        self._first = self._first or digest
        self._count += 1
        self._alike = self._alike and digest == self._first
        self._constant = self._constant and all(map(_flat, arrays.values()))

    def check(self) -> None:
        """Judge them together.

        InputError where each of them is one value throughout, or one in each band; EdgesparkWarning
        for a single sample, and for copies of one.
        """
        if self._count and self._constant:
            raise InputError(
                f"{self.modality}: each of its {self._count} samples has the same value "
                "everywhere (or in each band), and no range can be told from that: give samples of "
                "what the model will see"
            )
        if self._alike and self._count:
            what = "one sample" if self._count == 1 else f"{self._count} copies of one sample"
            warnings.warn(
                f"{self.modality}: the set has only {what} of it, and another input may go "
                "beyond its ranges: add more, dozens at best",
                EdgesparkWarning,
                stacklevel=2,
            )


def _flat(array: Array) -> bool:
    """Tell whether an array is one value or, along one of three axes or more, a value each.

    Bands are scaled one by one, so that an image of one value may become one of a value each. What
    has two axes, as a text or a track, may well vary along one alone.
    """
    places = array.squeeze()
    axes = range(places.ndim) if places.ndim >= LIKE_IMAGES else (None,)
    return any(_same(places, axis) for axis in axes)


def _same(array: Array, kept: int | None) -> bool:
    """Tell whether nothing varies but along the axis that is kept."""
    first = tuple(slice(None if axis == kept else 1) for axis in range(array.ndim))
    return bool((array == array[first]).all())


def _digest(arrays: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
