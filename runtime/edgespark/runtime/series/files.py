"""Files of time series: CSV, wide or long, and .npy."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.series.graphs import check_graph
from edgespark.runtime.series.tables import window_from_csv
from edgespark.runtime.timestamps import EXPECTED, seconds_from_text
from edgespark.runtime.wording import short, shown


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A file of time series, and the moment up to which it is meant.

    `at` is the last timestamp to look at: ISO 8601 or seconds since 1970; None means the last in
    the file. `graph` is a GraphML file, or a CSV file of edges, that must have the model's nodes;
    nothing else is taken from it. Raises InputError where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    graph: str | Path | None = None
    at: str | float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "time series")
        if self.graph is not None:
            check_path(self.graph, "graph")
        if self.at is not None and not (isinstance(self.at, str) or is_number(self.at)):
            raise InputError(f"at must be a timestamp, got {shown(self.at)}: {EXPECTED}")
        _ = self.seconds

    @property
    def seconds(self) -> float | None:
        """The last timestamp in seconds since 1970."""
        try:
            return None if self.at is None else seconds_from_text(str(self.at))
        except ValueError as error:
            raise InputError(f"at={short(str(self.at))} is no timestamp: {EXPECTED}") from error


def series_from_file(record: Series, file: SeriesFile) -> NDArray[Any]:
    """Return a file's last `steps` values, float64 [steps, nodes, 3], as the record orders them.

    Raises InputError where the file, or its graph, is not of the model's nodes and interval.
    """
    path = checked_file(file.path)
    if file.graph is not None:
        check_graph(record, file.graph)
    return by_suffix(path, FORMATS)(record, file)


def _csv(record: Series, file: SeriesFile) -> NDArray[np.float64]:
    return window_from_csv(record, file.path, file.seconds)


def _npy(_: Series, file: SeriesFile) -> NDArray[Any]:
    if file.at is not None:
        raise InputError(f"{file.path}: a .npy file holds no timestamps: it cannot be cut by at=")
    return mapped_npy(file.path)


FORMATS: dict[str, Callable[[Series, SeriesFile], NDArray[Any]]] = {".csv": _csv, ".npy": _npy}
OPTIONS = {
    "graph": Option(str, "graph=roads.graphml"),
    "at": Option(str, "at=2024-05-01T08:05:00Z or at=1714550700"),
}
