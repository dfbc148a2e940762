"""Tables of every form, made into what a route starts from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgespark.runtime.arguments import Argument, Option, whole
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Table
from edgespark.runtime.tables.columns import Columns, columns_from_array, columns_from_mapping
from edgespark.runtime.tables.files import TableFile
from edgespark.runtime.tables.parquet import columns_from_parquet
from edgespark.runtime.tables.prepare import cells
from edgespark.runtime.tables.text import columns_from_csv, columns_from_tsv
from edgespark.runtime.wording import shown

OPENERS: dict[str, Callable[[TableFile, Table], Columns]] = {
    ".csv": columns_from_csv,
    ".tsv": columns_from_tsv,
    ".parquet": columns_from_parquet,
}
OPTIONS = {"rows": Option(whole, "rows=FIRST,COUNT, the first row counted from 0")}


def read_table(record: Table, value: object, _: Encode) -> Prepared:
    """Return `cells`, int64 [1, rows, columns], of a table.

    It is an array of text or numbers [rows, columns] in the record's order, a mapping from the
    columns' names to sequences (a dict, a structured array, a pandas.DataFrame), the path of a
    .csv, .tsv or .parquet file, or a TableFile. Raises InputError for what cannot be one,
    MissingExtra where a library is not installed.
    """
    return cells(_columns(record, value), record)


def _columns(record: Table, value: object) -> Columns:
    if isinstance(value, Argument):
        path, options = value.file("table", OPTIONS)
        value = TableFile(path, **options)
    if isinstance(value, str | Path):
        value = TableFile(value)
    if isinstance(value, TableFile):
        return by_suffix(value.path, OPENERS)(value, record)
    if isinstance(value, np.ndarray) and value.dtype.names is None:
        return columns_from_array(value, record)
    if isinstance(value, np.ndarray):
        return columns_from_mapping({name: value[name] for name in value.dtype.names}, record)
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return columns_from_mapping(cast("Mapping[str, Any]", value), record)
    raise InputError(
        "expected an array of text [rows, columns], a mapping from names to columns, a path or a "
        f"TableFile, got {type(value).__name__} {shown(value)}"
    )
