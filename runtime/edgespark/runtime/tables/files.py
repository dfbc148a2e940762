"""Table files, and the rows of them that are meant."""

import operator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import check_path
from edgespark.runtime.preprocessing import Table
from edgespark.runtime.wording import shown

MOST_ROWS = 1 << 53
"""No file has so many; greater numbers are not for indices."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table file, and the rows of it that are meant.

    `rows` are the first row, counted from 0 behind the header, and how many; None means all there
    are. Raises InputError where they cannot be those of any file.
    """

    path: str | Path
    _: KW_ONLY
    rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "table")
        if self.rows is None:
            return
        try:
            first, count = (operator.index(number) for number in self.rows)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"rows must be two whole numbers, first and count, got {shown(self.rows)}"
            ) from error
        if not (0 <= first < MOST_ROWS and 1 <= count < MOST_ROWS):
            raise InputError(
                f"rows {shown(first)},{shown(count)}: first must be 0 or more, count 1 or more, "
                f"and both below {MOST_ROWS}"
            )
        object.__setattr__(self, "rows", (first, count))  # plain whole numbers

    def span(self, record: Table) -> tuple[int, int]:
        """Return which rows to read: the first, and how many at most.

        Of a file that is meant whole, one more than the record takes, so that too many are seen.
        InputError where more are meant than the record takes.
        """
        if self.rows is None:
            return 0, record.rows + 1
        if self.rows[1] > record.rows:
            raise InputError(
                f"{self.path}: rows={self.rows[0]},{self.rows[1]} are more than the "
                f"{record.rows} that the model takes"
            )
        return self.rows

    def check_found(self, found: int, record: Table) -> None:
        """Refuse a file that has no such rows, or more than the record takes."""
        if self.rows is None and found > record.rows:
            raise InputError(
                f"{self.path}: has more than the {record.rows} rows that the model takes: choose "
                f"them with rows=FIRST,COUNT, as in rows=0,{record.rows}"
            )
        if self.rows is not None and found < self.rows[1]:
            raise InputError(
                f"{self.path}: rows={self.rows[0]},{self.rows[1]} (the first counted from 0) leave "
                f"the table: {found} of them are there"
            )
