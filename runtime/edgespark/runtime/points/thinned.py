"""Clouds of any length, piece by piece, as a bounded number of checked points."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.points.colours import COLOURED, POSITION

Doubles = NDArray[np.float64]

MOST_POINTS = 1 << 16
"""What is kept of a cloud: farthest-point sampling takes (points x picks), and picks about 1024."""
GREATEST = 1e30
"""No coordinate is greater; the usual fill of float arrays, -3.4e38, is."""
KINDS = "iuf"  # numpy's letters for whole and real numbers
RANK = 2


def pieces(cloud: NDArray[Any], names: Sequence[str] = POSITION) -> Iterator[Doubles]:
    """Cut an array [points, 3 or more] into pieces, float64 [at most 65536, 3].

    There are as many columns as `names`, which say what they are: 3, or 6 with colours. Raises
    InputError where the shape or type is another, or something is masked.
    """
    if cloud.ndim != RANK or cloud.shape[1] < len(names):
        raise InputError(
            f"has shape {cloud.shape}; expected [points, {len(names)} or more], with "
            f"{' '.join(names)} first"
        )
    if cloud.dtype.kind not in KINDS:
        raise InputError(f"holds {cloud.dtype}; expected real numbers")
    if isinstance(cloud, np.ma.MaskedArray) and np.ma.getmaskarray(cloud).any():
        raise InputError("has masked values; leave out the points that were not measured")
    for start in range(0, len(cloud), MOST_POINTS):
        yield doubles(np.asarray(cloud[start : start + MOST_POINTS, : len(names)]))


def doubles(array: NDArray[Any]) -> Doubles:
    """Return numbers as float64; what becomes of NaN and of too great ones, `finite` looks at."""
    with np.errstate(all="ignore"):
        return array.astype(np.float64)


def finite(pieces: Iterable[Doubles]) -> Iterator[Doubles]:
    """Pass the pieces on; InputError at the first coordinate that is no finite number."""
    seen = 0
    for piece in pieces:
        wrong = ~(np.abs(piece) <= GREATEST)
        if wrong.any():
            point, axis = np.argwhere(wrong)[0]
            raise InputError(
                f"point {seen + point}, counted from 0, has {COLOURED[axis]} = "
                f"{piece[point, axis]:g}; expected finite numbers: leave out the points that were "
                "not measured"
            )
        seen += len(piece)
        yield piece


def thinned(pieces: Iterable[Doubles]) -> Doubles:
    """Return every 2^s-th point of the pieces [points, 3 or 6]: the least s that leaves 65536.

    One rule for all sources: a cloud gives the same points from an array as from a file that is
    read piece by piece. Holds at most 131072 points and one piece.
    """
    kept, held, step, seen = list[Doubles](), 0, 1, 0
    for piece in pieces:
        kept.append(piece[-seen % step :: step].copy())
        seen, held = seen + len(piece), held + len(kept[-1])
        while held > MOST_POINTS:
            kept, step = [np.concatenate(kept)[::2].copy()], 2 * step
            held = len(kept[0])
    return np.concatenate(kept) if kept else np.empty((0, len(POSITION)))
