"""Time series of every kind that may be given, made into what a route starts from."""

from pathlib import Path

from edgespark.runtime.arguments import Argument
from edgespark.runtime.arrays import array_from_value, unmasked
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.series.files import OPTIONS, SeriesFile, series_from_file
from edgespark.runtime.series.prepare import prepare_series

EXPECTED = "an array [steps, nodes, 3], a path or a SeriesFile"


def read_series(record: Series, value: object, _: Encode) -> Prepared:
    """Return `series`, float32 [1, steps, nodes, 3], and the anchor, of the nodes of a graph.

    Takes an array as `prepare_series` does, the path of a .csv or .npy file, a SeriesFile, or an
    Argument. Raises InputError for what cannot be one.
    """
    if isinstance(value, Argument):
        path, options = value.file("time series", OPTIONS)
        value = SeriesFile(path, **options)
    if isinstance(value, str | Path):
        value = SeriesFile(value)
    if isinstance(value, SeriesFile):
        return prepare_series(record, series_from_file(record, value), str(value.path))
    array = unmasked(array_from_value(value, EXPECTED))
    return prepare_series(record, array, f"array {array.shape}")
