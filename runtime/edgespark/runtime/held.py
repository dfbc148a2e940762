"""What each position of a decoder's sequence holds, so that what comes again is not fed again."""

from collections.abc import Sequence

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.memory import zeros
from edgespark.runtime.prompt import Piece, length

UNKNOWN, ROW = -1, -2  # no ids: nothing is equal to it; what lies in the sequence's memory


class Held:
    """A sequence as it was put together: ids of text, and embeddings of all else.

    Equal embeddings are equal numbers (0 and -0 are, NaN never is): what was fed is compared, not
    what it was made of, so that no part or setting in front of the decoder needs to be watched.
    """

    def __init__(self, context: int, width: int) -> None:
        """Take memory for `context` positions; DeviceError if it does not fit."""
        self._ids = np.full(context, UNKNOWN, np.int64)
        self._rows = zeros((1, context, width), "float32", "the sequence")

    def shared(self, pieces: Sequence[Piece], positions: int) -> int:
        """Return how many of the first `positions` hold what the pieces begin with."""
        at = 0
        for piece in pieces:
            size = length([piece])
            alike = self._alike(piece, at, min(at + size, positions))
            at += len(alike) if alike.all() else int(alike.argmin())
            if len(alike) < size or not alike.all():
                break
        return at

    def put(self, pieces: Sequence[Piece], begin: int, text: Array) -> Array:
        """Write what stands from `begin` on; return its embeddings [1, positions, width], a view.

        `text` [1, ids, width] are the embeddings of the ids from there on, in order. The next call
        may write there again.
        """
        self._ids[begin:] = UNKNOWN
        at = taken = 0
        for piece in pieces:
            size = length([piece])
            skipped = min(max(begin - at, 0), size)
            new = slice(at + skipped, at + size)
            if isinstance(piece, list):
                self._ids[new] = piece[skipped:]
                self._rows[:, new] = text[:, taken : taken + size - skipped]
                taken += size - skipped
            else:
                self._ids[new] = ROW
                self._rows[:, new] = piece[:, skipped:]
            at += size
        return self._rows[:, begin:at]

    def note(self, at: int, ids: list[int]) -> None:
        """Note which ids are fed at a position and behind it."""
        self._ids[at : at + len(ids)] = ids

    def ids(self, positions: int) -> list[int]:
        """Return what the first positions hold: ids of text, and numbers below 0 for all else."""
        return list(map(int, self._ids[:positions]))

    def _alike(self, piece: Piece, begin: int, end: int) -> Array:
        """Compare position by position, bool [end - begin]."""
        ids = self._ids[begin:end]
        if isinstance(piece, list):
            return np.asarray(ids == piece[: end - begin], bool)
        same = self._rows[0, begin:end] == piece[0, : end - begin]
        return np.asarray((ids == ROW) & same.all(axis=1), bool)


def ids_from(pieces: Sequence[Piece], begin: int) -> list[int]:
    """Return the ids of text that stand at position `begin` or behind it, in order."""
    found, at = list[int](), 0
    for piece in pieces:
        if isinstance(piece, list):
            found += piece[max(begin - at, 0) :]
        at += length([piece])
    return found
