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

BATCH = 4096
"""Rows that are decoded at a time."""


def columns_from_parquet(file: TableFile, record: Table) -> Columns:
    """Return the record's columns of a Parquet file.

    Only the row groups that hold the rows meant are opened, in batches, and of them only those
    columns. Raises InputError for a broken file and as the columns and rows do that the record
    does not fit, MissingExtra where pyarrow is not installed.
    """
    path = checked_file(file.path)
    span = file.span(record)
    names = [column.name for column in record.columns]
    with _told(path), _pyarrow("pyarrow.parquet").ParquetFile(path, memory_map=True) as table:
        check_names(str(path), table.schema_arrow.names, record)
        if not table.metadata.num_rows:
            raise InputError(f"{path}: has no rows")
        parts = list(_batches(table, names, span))
    file.check_found(sum(len(part[names[0]]) for part in parts), record)
    values = tuple([cell for part in parts for cell in part[name]] for name in names)
    return Columns(name=str(path), values=values, first=span[0])


def _batches(
    table: Any,  # noqa: ANN401 pyarrow's
    names: list[str],
    span: tuple[int, int],
) -> Iterator[Mapping[str, list[Any]]]:
    """Give the cells of the span by column, batch by batch."""
    groups, skip = _groups(table.metadata, span)
    left = span[1]
    if not groups:
        return
    for batch in table.iter_batches(BATCH, row_groups=groups, columns=names, use_threads=False):
        part = batch.slice(skip, left)
        skip, left = max(0, skip - len(batch)), left - len(part)
        yield part.to_pydict()
        if not left:
            return


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
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as Parquet: {reason}") from error


def _pyarrow(module: str) -> Any:  # noqa: ANN401 imported late
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"Parquet is read with pyarrow, which cannot be imported ({error}): "
            "pip install 'edgespark[tables]'"
        ) from error
