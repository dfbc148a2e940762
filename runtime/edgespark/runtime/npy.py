"""Arrays in .npy files (NumPy's NEP 1), read where they are indexed, and by reading alone.

A file that is mapped into memory ends the process (SIGBUS) where somebody cuts it off meanwhile;
one that is read just ends early, which can be told.
"""

import warnings
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.letters import has_letters
from edgespark.runtime.paths import checked_file

Index: TypeAlias = int | slice | list[int] | None
Spans: TypeAlias = tuple[tuple[int, int], ...]
"""The first index, and the one after the last, on each axis."""
Part: TypeAlias = tuple[tuple[int, ...], Spans]
"""The shape of an array, and what is meant of it."""

BROKEN = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError),
    *(SyntaxError, TokenError, RecursionError),
)
"""What numpy raises for the header of a file that is broken: it reads it as Python."""

LONGEST_REASON = 120
"""Letters; numpy quotes a broken header, which may be long."""
NEAR = 1 << 12
"""Bytes; samples that lie within as many are read together, and what is not wanted is dropped."""
AT_A_TIME = 1 << 20
"""Bytes that are read at a time where some of them are dropped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NpyFile:
    """The array of a .npy file, none of it in memory.

    `offset` is where its samples begin, in bytes. Has the shape, the type and the length of an
    array, and gives arrays for indices: a whole number, a slice, or on the first axis a list.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    fortran: bool

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of samples."""
        return prod(self.shape)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:  # noqa: ANN401 as numpy's
        """Read a part; None gives the whole, unread, with an axis of 1 before the others.

        Raises InputError where the file ends early or cannot be read.
        """
        if index is None:
            return replace(self, shape=(1, *self.shape))
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, list):
            return np.stack([self[(number, *rest)] for number in first])
        given = (first, *rest, *[slice(None)] * (self.ndim - 1 - len(rest)))
        spans = tuple(_span(each, n) for each, n in zip(given, self.shape, strict=True))
        one = tuple(0 if isinstance(each, int) else slice(None) for each in given)
        return self._part(spans)[one]

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """Read the whole as another type; InputError where it does not fit the memory."""
        try:
            return self._part(tuple((0, n) for n in self.shape)).astype(dtype)
        except MemoryError as error:
            raise InputError(f"{self.path}: {self.shape} does not fit the memory") from error

    def _part(self, spans: Spans) -> NDArray[Any]:
        turn = -1 if self.fortran else 1
        shape, spans = self.shape[::turn], spans[::turn]
        made: NDArray[Any] = np.empty([stop - start for start, stop in spans], self.dtype)
        if made.nbytes:
            try:
                with self.path.open("rb") as file:
                    self._fill(made[None], file, self.offset, ((1, *shape), ((0, 1), *spans)))
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read: {error.strerror}") from error
        return made.T if self.fortran else made

    def _fill(self, made: NDArray[Any], file: BinaryIO, at: int, part: Part) -> None:
        """Read a part of an array in C's order that begins at that byte."""
        ((_, *inner), ((start, stop), *spans)) = part
        size = prod(inner) * self.dtype.itemsize
        whole = all(span == (0, n) for span, n in zip(spans, inner, strict=True))
        if size > NEAR and not whole:
            for k in range(start, stop):
                self._fill(made[k - start], file, at + k * size, (tuple(inner), tuple(spans)))
            return
        cut = tuple(slice(*span) for span in spans)
        step = max(AT_A_TIME // size, 1)
        for first in range(start, stop, step):
            count = min(step, stop - first)
            file.seek(at + first * size)
            rows = self._read(file, count * size).reshape(count, *inner)
            made[first - start : first - start + count] = rows[(slice(None), *cut)]

    def _read(self, file: BinaryIO, size: int) -> NDArray[Any]:
        data = file.read(size)
        if len(data) < size:
            raise InputError(f"{self.path}: ends early: it was cut off while it was read")
        found = np.frombuffer(data, self.dtype)
        if not has_letters(found):
            raise InputError(f"{self.path}: holds text with what is no letter of Unicode")
        return found


def _span(index: int | slice | list[int] | None, length: int) -> tuple[int, int]:
    if isinstance(index, int):
        return index, index + 1
    if not isinstance(index, slice) or index.step not in (None, 1):
        raise TypeError(f"{index!r} is no index into a file")
    start, stop, _ = index.indices(length)
    return start, max(start, stop)


def npy_file(name: str | Path) -> NpyFile:
    """Look at the header of a .npy file; pickled objects are refused. Raises InputError."""
    path = checked_file(name)
    try:
        with warnings.catch_warnings():  # numpy warns of headers that Python 2 wrote
            warnings.simplefilter("ignore")
            found = np.lib.format.open_memmap(path, mode="r")  # is as long as its header says
    except BROKEN as error:
        reason = str(error).partition("\n")[0][:LONGEST_REASON]
        raise InputError(
            f"{path}: is no .npy file of numbers that can be read: {reason}"
        ) from error
    return NpyFile(
        path=path,
        shape=found.shape,
        dtype=found.dtype,
        offset=found.offset,
        fortran=not found.flags.c_contiguous,
    )
