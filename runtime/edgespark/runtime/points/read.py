"""Point clouds of every kind that may be given."""

from pathlib import Path

from edgespark.runtime.arguments import Argument
from edgespark.runtime.arrays import array_from_value
from edgespark.runtime.errors import InputError
from edgespark.runtime.points.files import OPTIONS, PointFile, points_of
from edgespark.runtime.points.prepare import prepare, prepare_points
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Points

EXPECTED = "an array [points, 3 or more], a path or a PointFile"


def read_points(record: Points, value: object, _: Encode) -> Prepared:
    """Return `neighbourhoods` and `centres` (see `prepare`) of a point cloud.

    Takes an array [points, 3 or more], the path of a .las, .laz, .ply, .xyz, .txt, .csv or .npy
    file, a PointFile, or an Argument. Raises InputError for what cannot be one, MissingExtra where
    a library is not installed.
    """
    if isinstance(value, Argument):
        path, options = value.file("point cloud", OPTIONS)
        value = PointFile(path, **options)
    if isinstance(value, str | Path):
        value = PointFile(value)
    if not isinstance(value, PointFile):
        return prepare(array_from_value(value, EXPECTED), record)
    points = points_of(value)
    try:
        return prepare_points(points, record)
    except InputError as error:
        raise type(error)(f"{value.path}: {error}") from error
