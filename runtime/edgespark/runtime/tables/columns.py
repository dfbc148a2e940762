"""The columns that a record asks for, found in what a user gave."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.preprocessing import Table
from edgespark.runtime.wording import listed, near, shown

RANK = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The raw cells of a table, by the record's columns in the record's order, of one length.

    A cell is text, a number, or None. `name` is what messages call the table, `first` the number of
    its first row in what it was taken from, counted from 0.
    """

    name: str
    values: tuple[Sequence[Any], ...]
    first: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.values[0])


def columns_from_array(array: NDArray[Any], record: Table) -> Columns:
    """Return the columns of an array [rows, columns] of text or numbers, in the record's order.

    What is masked in a numpy.ma.MaskedArray is missing. Raises InputError for another shape or
    another type of cells, and for more rows than the record takes.
    """
    name, names = f"array {array.shape}", [column.name for column in record.columns]
    if array.ndim != RANK or array.shape[1] != len(names):
        raise InputError(
            f"{name}: expected [rows, columns] with {len(names)} columns, in this order: "
            f"{listed(names)}"
        )
    if array.dtype.kind not in "UTOiuf":
        raise InputError(f"{name}: holds {array.dtype}; expected text or numbers")
    check_rows(name, len(array), record)
    return Columns(name=name, values=tuple(array.T.tolist()))


def columns_from_mapping(table: Mapping[str, Any], record: Table) -> Columns:
    """Return the record's columns out of those by name: sequences of text, numbers or None.

    Other columns are passed over; a structured array and a pandas.DataFrame are mappings too.
    Raises InputError for columns that are not there, that are no sequences or differ in length, and
    for more rows than the record takes.
    """
    name = type(table).__name__
    check_names(name, [key for key in table if isinstance(key, str)], record)
    lengths = {each.name: _length(table[each.name], each.name, name) for each in record.columns}
    if len(set(lengths.values())) > 1:
        told = listed(lengths, lambda column: f"{shown(column)} {lengths[column]}")
        raise InputError(f"{name}: its columns differ in length: {told}")
    check_rows(name, lengths[record.columns[0].name], record)
    return Columns(name=name, values=tuple(_cells(table[column.name]) for column in record.columns))


def check_names(name: str, found: Iterable[str], record: Table) -> None:
    """Refuse a table in which a column of the record is not to be found, or more than once."""
    counts = Counter(found)
    missing = [column.name for column in record.columns if not counts[column.name]]
    if missing:
        told = listed(missing, lambda each: shown(each) + near(each, counts))
        there = listed(counts, shown) or "none"
        raise InputError(f"{name}: has no column {told}; there are: {there}")
    twice = [column.name for column in record.columns if counts[column.name] > 1]
    if twice:
        told = listed(twice, shown)
        raise InputError(f"{name}: has more than one column of the name {told}; rename all but one")


def check_rows(name: str, count: int, record: Table, remedy: str = "give fewer") -> None:
    """Refuse a table of no rows, and of more than the record takes."""
    if not count:
        raise InputError(f"{name}: has no rows")
    if count > record.rows:
        raise InputError(f"{name}: has {count} rows; the model takes {record.rows}: {remedy}")


def _length(values: object, column: str, name: str) -> int:
    text = isinstance(values, str | bytes)
    if text or not hasattr(values, "__iter__") or not hasattr(values, "__len__"):
        raise InputError(
            f"{name}: column {column!r} must be a sequence of cells, got {shown(values)}"
        )
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise InputError(f"{name}: column {column!r} has shape {values.shape}; expected [rows]")
    return len(values)


def _cells(values: Any) -> Sequence[Any]:  # noqa: ANN401 any sequence there is
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
