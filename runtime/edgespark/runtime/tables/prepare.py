"""From raw cells to the ids that a table's encoder takes, as its record says."""

import math
import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import FIRST, MISSING, PAD, UNSEEN, Column, Table
from edgespark.runtime.tables.columns import Columns, check_rows
from edgespark.runtime.wording import listed, near, shown

Ids = NDArray[np.int64]

NOTHING = frozenset({"", "na", "nan", "null"})
"""Text that stands for a missing cell, in any case of its letters; beside None and NaN."""
ABSENT = ("NAType", "NaTType")
"""The types of pandas.NA and pandas.NaT, which cannot be compared with anything."""


def cells(columns: Columns, record: Table) -> Prepared:
    """Return `cells`, int64 [1, rows, columns], and the share of the given cells that hold a value.

    A number is put in its bin (np.searchsorted(edges, x, side="right")); its text has a decimal
    point and no separators of thousands. A category is looked up as it is written, then without
    the spaces around it; a whole number stands for its digits. A cell is missing where it is None,
    NaN, or one of the texts "", "NA", "NaN" and "null", unless a category is called that. Raises
    InputError where a number is none or is infinite, where there are no rows or too many, and
    where every cell is missing; warns (EdgesparkWarning) of categories that no column knows. The
    vocabulary is laid out as in IBM/TabFormer at ebb7cd6.
    """
    check_rows(columns.name, columns.rows, record)
    made = np.full((1, record.rows, len(record.columns)), PAD, np.int64)
    first = FIRST
    for index, column in enumerate(record.columns):
        own = READERS[column.type](columns, column, columns.values[index])
        made[0, : columns.rows, index] = np.where(own < 0, -own, own + first)
        first += column.ids
    valid = float(np.mean(made[0, : columns.rows] != MISSING))
    if not valid:
        raise InputError(f"{columns.name}: every cell is missing; the model needs a value")
    return Prepared(arrays={"cells": made}, valid=valid)


def _numbers(columns: Columns, column: Column, values: Sequence[Any]) -> Ids:
    """Return the bin of each number, -MISSING where there is none."""
    given = [_number(value) for value in values]
    for row, number in enumerate(given):
        if number is None or math.isinf(number):
            raise InputError(
                f"{columns.name}: row {columns.first + row} (counted from 0), column "
                f"{column.name!r}: expected a finite number like 1.5, got {shown(values[row])}"
            )
    numbers = np.array(given, np.float64)
    bins = np.searchsorted(np.array(column.edges), numbers, side="right")
    return np.where(np.isnan(numbers), -MISSING, bins).astype(np.int64)


def _number(value: object) -> float | None:
    """Return the number, NaN for a missing one, None for what is no number."""
    if _missing(value):
        return math.nan
    if is_number(value) or isinstance(value, Decimal):
        return float(value)  # type: ignore[arg-type] # is_number has looked
    try:
        return number_from_text(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _categories(columns: Columns, column: Column, values: Sequence[Any]) -> Ids:
    """Return the index of each category, -MISSING or -UNSEEN where it has none."""
    known = {value: index for index, value in enumerate(column.values)}
    made, unseen = np.full(len(values), -MISSING, np.int64), dict[str, int]()
    for row, value in enumerate(values):
        text = _text(value)
        if text is None:
            raise InputError(
                f"{columns.name}: row {columns.first + row} (counted from 0), column "
                f"{column.name!r}: expected text or a number, got {type(value).__name__}"
            )
        made[row] = known.get(text, known.get(text.strip(), -MISSING))
        if made[row] < 0 and not _missing(value):
            made[row] = -UNSEEN
            unseen.setdefault(text.strip(), columns.first + row)
    if unseen:
        _warn(columns.name, column, unseen)
    return made


def _text(value: object) -> str | None:
    """Return how a category is written, "" for a missing one; None for what can be none."""
    if isinstance(value, str):
        return value
    if _missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value)
    if not is_number(value):
        return None
    number = float(value)  # type: ignore[arg-type] # is_number has looked
    return str(int(value)) if number.is_integer() else str(number)  # type: ignore[call-overload] # a number


def _missing(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in NOTHING
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return value is None or type(value).__name__ in ABSENT


def _warn(name: str, column: Column, unseen: dict[str, int]) -> None:
    told = listed(
        unseen, lambda text: f"{shown(text)} in row {unseen[text]}{near(text, column.values)}"
    )
    warnings.warn(
        f"{name}: column {shown(column.name)} holds what the model has not seen: {told}; it knows "
        f"{listed(column.values, shown)}",
        EdgesparkWarning,
        stacklevel=2,
    )


READERS = {"number": _numbers, "category": _categories}
