"""CSV and TSV (RFC 4180, with either separator), read from the start up to the last row meant."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import checked_file
from edgespark.runtime.preprocessing import Table
from edgespark.runtime.rows import opened, records
from edgespark.runtime.tables.columns import Columns, check_names
from edgespark.runtime.tables.files import TableFile

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


def columns_from_text(file: TableFile, record: Table, *, separator: str) -> Columns:
    """Return the record's columns of a UTF-8 text table whose first line names its columns.

    Cells may be quoted; spaces around names and empty lines do not count. Only the header and the
    rows up to the last one meant are read, one at a time. Raises InputError for another encoding,
    a broken quote, a NUL byte, a row with other than the header's number of cells, an endless
    row, and as the columns and rows do that the record does not fit.
    """
    path = checked_file(file.path)
    first, count = file.span(record)
    with opened(path) as lines:
        rows = (cells for _, cells in records(lines, separator))
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header, record, separator)
        chosen = list(islice(_checked(path, rows, header), first, first + count))
    file.check_found(len(chosen), record)
    if not chosen:
        raise InputError(f"{path}: has no rows behind its header")
    order = [header.index(column.name) for column in record.columns]
    values = tuple([row[index] for row in chosen] for index in order)
    return Columns(name=str(path), values=values, first=first)


columns_from_csv = partial(columns_from_text, separator=",")
columns_from_tsv = partial(columns_from_text, separator="\t")


def _check_header(path: Path, header: Sequence[str], record: Table, separator: str) -> None:
    if not header:
        raise InputError(f"{path}: is empty; expected a first line with the names of the columns")
    others = [other for other in SEPARATORS if other != separator and other in header[0]]
    if len(header) == 1 and others:
        raise InputError(
            f"{path}: seems to be separated by {SEPARATORS[others[0]]}; expected "
            f"{SEPARATORS[separator]}: .csv files have commas and .tsv files tabs"
        )
    check_names(str(path), header, record)


def _checked(path: Path, rows: Iterator[list[str]], header: Sequence[str]) -> Iterator[list[str]]:
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number} (counted from 0) has {len(row)} cells, its header "
                f"{len(header)}: quote cells that hold the separator"
            )
        yield row
