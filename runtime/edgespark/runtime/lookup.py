"""Drafts of what comes next, looked up in what stands before (prompt lookup)."""

from collections.abc import Sequence

LENGTHS = (3, 2)
"""How many ids must agree, the most telling first.

One id alone says little of the next. Where more than three agree, three of them do as well.
"""


class Lookup:
    """Finds where the end of a sequence stood before, and tells how it went on there.

    An id takes a few microseconds, however long the sequence is. Ids below 0 stand for positions
    that hold no text: they agree with nothing, and are never drafted.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        """Begin with a sequence, such as a prompt."""
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}  # what stands before it → the last place
        for each in ids:
            self.add(each)

    def add(self, token: int) -> None:
        """Append an id to the sequence."""
        ids, place = self._ids, len(self._ids)
        for length in LENGTHS:
            if length <= place:
                self._next[tuple(ids[-length:])] = place
        ids.append(token)

    def draft(self, most: int) -> list[int]:
        """Return what followed where the end of the sequence last stood before, or nothing.

        At most `most` ids, up to the first below 0. Where they reach the end of the sequence, they
        go on with their own beginning, as a repetition does.
        """
        place = self._found()
        if place is None:
            return []
        after = self._ids[place : place + most]
        drafted: list[int] = []
        while len(drafted) < most:
            token = after[len(drafted) % len(after)]
            if token < 0:
                break
            drafted.append(token)
        return drafted

    def _found(self) -> int | None:
        """Return the place after the longest agreement, the last one there is."""
        for length in LENGTHS:
            end = tuple(self._ids[-length:])
            if len(end) == length and min(end) >= 0 and end in self._next:
                return self._next[end]
        return None
