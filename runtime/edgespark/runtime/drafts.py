"""Drafts of an answer by prompt lookup, counted."""

from edgespark.runtime.lookup import Lookup
from edgespark.runtime.stats import Record


class Drafts:
    """Guesses at most so many ids at once, and notes how many of them came true."""

    def __init__(self, lookup: Lookup, most: int, record: Record) -> None:
        """Guess with `lookup`, which knows the sequence so far."""
        self._lookup = lookup
        self._most = most
        self._record = record
        self._open: list[int] = []

    def add(self, token: int) -> None:
        """Take the next id: a draft goes on as long as it is right."""
        right = bool(self._open) and self._open.pop(0) == token
        self._record.accepted += right
        if not right:
            self._open.clear()
        self._lookup.add(token)

    def draft(self, most: int) -> list[int]:
        """Return at most `most` ids that may follow; often none."""
        drafted = self._lookup.draft(min(most, self._most))
        self._record.drafted += len(drafted)
        self._open = list(drafted)
        return drafted
