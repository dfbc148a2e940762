"""Lines of text with cells between separators, one at a time."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import checked_file

LONGEST = 1 << 20
"""Letters of a line; a file without line ends is not read whole to find out."""
SEPARATORS = (",", ";", "\t")
Row = tuple[int, list[str]]
"""The number of a line, counted from 1, and its cells."""


def comma_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a UTF-8 CSV file; the first one's commonest separator of , ; tab cuts all.

    Cells may be quoted; spaces around them and empty lines do not count. Raises InputError for an
    empty file, one that is no UTF-8 text, a broken quote, a row with other than the first one's
    number of cells, and an endless line.
    """
    lines = _lines(path)
    start, first = next(((n, line) for n, line in enumerate(lines, 1) if line.strip()), (0, ""))
    if not start:
        raise InputError(f"{path}: is empty; expected a first line with the names of the columns")
    reader = csv.reader(
        chain([first], lines), delimiter=max(SEPARATORS, key=first.count), strict=True
    )
    try:
        yield from _even(path, ((start - 1 + reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        line = start - 1 + reader.line_num
        raise InputError(f"{path}: line {line}: cannot be read as CSV: {error}") from error


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
    for number, line in enumerate(_lines(path), 1):
        cells = line.split()
        if cells:
            yield number, cells


def _lines(path: str | Path) -> Iterator[str]:
    try:
        with checked_file(path).open(encoding="utf-8-sig", newline="") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST + 1), ""), 1):
                if len(line) > LONGEST or "\0" in line:
                    raise InputError(f"{path}: line {number} is no line of a table of numbers")
                yield line
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8: {error.reason}; save it as UTF-8") from error
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
