"""Lines of text with cells between separators, one at a time."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import checked_file
from edgespark.runtime.wording import listed, shown

LONGEST = 1 << 20
"""Letters of a row; a file without line ends, or in one quote, is not read whole to find out."""
SEPARATORS = (",", ";", "\t")
Row = tuple[int, list[str]]
"""The number of a line, counted from 1, and its cells."""


@dataclass(slots=True)
class Lines:
    """The lines of a text file, one at a time.

    `number` is that of the last one, counted from 1, `letters` how many there are since the last
    row: who reads rows sets it to 0 behind each. Raises InputError where a row has no end, and for
    a NUL.
    """

    path: str | Path
    stream: TextIO
    number: int = 0
    letters: int = 0

    def __iter__(self) -> Iterator[str]:
        """Go on with the next line."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        line = self.stream.readline(LONGEST + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.letters += len(line)
        where = f"{self.path}: line {self.number}"
        if self.letters > LONGEST:
            raise InputError(f"{where}: a row has more than {LONGEST} letters; is a quote open?")
        if "\0" in line:
            raise InputError(f"{where} holds a NUL byte: the file is no UTF-8 table")
        return line


@contextmanager
def opened(path: str | Path) -> Iterator[Lines]:
    """Open a UTF-8 text file; InputError where it cannot be read, or is of another encoding."""
    file = checked_file(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield Lines(path, stream)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8: {error.reason}; save it as UTF-8") from error
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def records(lines: Lines, separator: str, *before: str) -> Iterator[Row]:
    """Yield the rows of CSV text (RFC 4180), after the lines that were read `before`.

    Empty lines do not count. Raises InputError for a broken quote.
    """
    reader = csv.reader(chain(before, lines), delimiter=separator, strict=True)
    try:
        for cells in reader:
            lines.letters = 0
            if cells:
                yield lines.number, cells
    except csv.Error as error:
        where = f"{lines.path}: line {lines.number}"
        raise InputError(f"{where}: cannot be read as CSV: {error}") from error


def comma_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a UTF-8 CSV file; the first one's commonest separator of , ; tab cuts all.

    Cells may be quoted; spaces around them and empty lines do not count. Raises InputError for an
    empty file, one that is no UTF-8 text, a broken quote, a row with other than the first one's
    number of cells, and an endless row.
    """
    with opened(path) as lines:
        first = next((line for line in lines if line.strip()), "")
        if not first:
            raise InputError(
                f"{path}: is empty; expected a first line with the names of the columns"
            )
        yield from _even(path, records(lines, max(SEPARATORS, key=first.count), first))


def _even(path: str | Path, rows: Iterator[Row]) -> Iterator[Row]:
    width = 0
    for line, cells in rows:
        if not any(cells):
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise InputError(
                f"{path}: line {line} has {len(cells)} cells, the first one {width}: is the file "
                "cut off?"
            )
        yield line, [cell.strip() for cell in cells]


def spaced_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a UTF-8 text file whose cells stand between spaces or tabs.

    Empty lines do not count. Raises InputError for one that is no UTF-8 text, and an endless line.
    """
    with opened(path) as lines:
        for line in lines:
            lines.letters = 0
            cells = line.split()
            if cells:
                yield lines.number, cells


def column(path: str | Path, header: Sequence[str], names: Sequence[str]) -> int | None:
    """Return which column has one of these names, in any case of its letters; None where none has.

    Raises InputError where more than one has: nobody knows which is meant.
    """
    found = [place for place, name in enumerate(header) if name.lower() in names]
    if len(found) > 1:
        told = listed((header[place] for place in found), shown)
        raise InputError(
            f"{path}: has more than one column for {names[0]!r}: {told}; rename all but the one "
            "that is meant"
        )
    return found[0] if found else None
