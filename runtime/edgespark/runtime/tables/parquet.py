"""Parquet, through pyarrow: only the columns and the row groups that are meant."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.paths import checked_file
from edgespark.runtime.preprocessing import Table
from edgespark.runtime.tables.columns import Columns, check_names
from edgespark.runtime.tables.files import TableFile
from edgespark.runtime.wording import short, shown

BATCH = 4096
"""Rows that are decoded at a time."""
LARGEST = 1 << 28
"""Bytes of a column in a row group, before compression: 33 million numbers."""
LONGEST = 1 << 17
"""Letters of a cell, as many as in CSV."""
CELLS = ("null", "boolean", "integer", "floating", "decimal", "string", "large_string")
"""The types of columns that can hold text and numbers."""


def columns_from_parquet(file: TableFile, record: Table) -> Columns:
    """Return the record's columns of a Parquet file.

    Only the row groups that hold the rows meant are opened, in batches, and of them only those
    columns. Raises InputError for a broken file, for columns of other types than text and numbers
    and for such as would take too much memory, and as the columns and rows do that the record does
    not fit; MissingExtra where pyarrow is not installed.
    """
    path = checked_file(file.path)
    span = file.span(record)
    names = [column.name for column in record.columns]
    with _told(path), _opened(path) as table:
        check_names(str(path), table.schema_arrow.names, record)
        texts = [name for name in names if _is_text(path, table.schema_arrow.field(name))]
        groups, skip = _groups(table.metadata, span)
        _check_sizes(path, table.metadata, groups, names)
        if not table.metadata.num_rows:
            raise InputError(f"{path}: has no rows")
    with _told(path), _opened(path, texts) as table:
        batches = table.iter_batches(BATCH, row_groups=groups, columns=names, use_threads=False)
        parts = list(_parts(path, batches if groups else iter(()), skip, span[1]))
    file.check_found(sum(len(part[names[0]]) for part in parts), record)
    values = tuple([cell for part in parts for cell in part[name]] for name in names)
    return Columns(name=str(path), values=values, first=span[0])


def _opened(path: Path, texts: list[str] | None = None) -> Any:  # noqa: ANN401 pyarrow's
    """Open a file: each text of the columns `texts` is held once, however many rows have it.

    It is not mapped, since a mapped file that another program cuts off ends the process.
    """
    parquet = _pyarrow("pyarrow.parquet")
    return parquet.ParquetFile(path, memory_map=False, read_dictionary=texts)


def _is_text(path: Path, column: Any) -> bool:  # noqa: ANN401 pyarrow's
    """Tell whether a column holds text; refuse what is no column of text or numbers."""
    types = _pyarrow("pyarrow").types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if not any(getattr(types, f"is_{name}")(kind) for name in CELLS):
        raise InputError(
            f"{path}: column {shown(column.name)} holds {short(str(column.type))}; expected text "
            "or numbers"
        )
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _check_sizes(path: Path, metadata: Any, groups: list[int], names: list[str]) -> None:  # noqa: ANN401 pyarrow's
    for group in map(metadata.row_group, groups):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names and column.total_uncompressed_size > LARGEST:
                raise InputError(
                    f"{path}: column {shown(column.path_in_schema)} has "
                    f"{column.total_uncompressed_size} bytes in a row group; at most {LARGEST} are "
                    "decoded: write smaller row groups"
                )


def _parts(
    path: Path,
    batches: Any,  # noqa: ANN401 pyarrow's
    skip: int,
    left: int,
) -> Iterator[Mapping[str, list[Any]]]:
    """Give the cells of so many rows by column, batch by batch, without the first ones."""
    for batch in batches:
        part = batch.slice(skip, left)
        skip, left = max(0, skip - len(batch)), left - len(part)
        yield {
            name: [_cell(path, name, cell) for cell in column]
            for name, column in zip(part.schema.names, part.columns, strict=True)
        }
        if not left:
            return


def _cell(path: Path, name: str, cell: Any) -> Any:  # noqa: ANN401 pyarrow's
    value = cell.as_py()
    if isinstance(value, str) and len(value) > LONGEST:
        raise InputError(
            f"{path}: column {shown(name)} holds a text of {len(value)} letters; at most {LONGEST} "
            "are read"
        )
    return value


def _groups(metadata: Any, span: tuple[int, int]) -> tuple[list[int], int]:  # noqa: ANN401 pyarrow's
    """Return the row groups that the span touches, and how many rows of them come before it."""
    groups, before, start = list[int](), 0, 0
    for index in range(metadata.num_row_groups):
        end = start + metadata.row_group(index).num_rows
        if end <= span[0]:
            before = end
        elif start < sum(span):
            groups.append(index)
        start = end
    return groups, span[0] - before


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors into one line."""
    errors = _pyarrow("pyarrow").ArrowException, OSError, ValueError, OverflowError, MemoryError
    try:
        yield
    except InputError:
        raise
    except errors as error:
        reason = short(str(error).partition("\n")[0])
        raise InputError(f"{path}: cannot be read as Parquet: {reason}") from error


def _pyarrow(module: str) -> Any:  # noqa: ANN401 imported late
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"Parquet is read with pyarrow, which cannot be imported ({error}): "
            "pip install 'edgespark[tables]'"
        ) from error
