"""Point clouds of every kind that may be given."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edgespark.runtime.arguments import Argument, Option
from edgespark.runtime.arrays import array_from_value
from edgespark.runtime.errors import InputError
from edgespark.runtime.points.coloured import prepare_coloured, prepare_coloured_points
from edgespark.runtime.points.files import (
    COLOURED_OPTIONS,
    OPTIONS,
    PointFile,
    coloured_points_of,
    points_of,
)
from edgespark.runtime.points.prepare import prepare, prepare_points
from edgespark.runtime.points.thinned import Doubles
from edgespark.runtime.prepared import Encode, Prepared
from edgespark.runtime.preprocessing import Points
from edgespark.runtime.sensory import ColouredPoints

EXPECTED = "an array [points, 3 or more], a path or a PointFile"
EXPECTED_COLOURED = "an array [points, 6 or more], a path or a PointFile"


def read_points(record: Points, value: object, _: Encode) -> Prepared:
    """Return `neighbourhoods` and `centres` (see `prepare`) of a point cloud.

    Takes an array [points, 3 or more], the path of a .las, .laz, .ply, .xyz, .txt, .csv or .npy
    file, a PointFile, or an Argument. Raises InputError for what cannot be one, MissingExtra where
    a library is not installed.
    """
    value = _file_of(value, OPTIONS)
    if not isinstance(value, PointFile):
        return prepare(array_from_value(value, EXPECTED), record)
    if value.colours is not None:
        raise InputError(f"{value.path}: the model takes no colours: colours= means nothing")
    return _prepared(value, points_of(value), lambda points: prepare_points(points, record))


def read_coloured_points(record: ColouredPoints, value: object, _: Encode) -> Prepared:
    """Return `neighbourhoods` (see `prepare_coloured`) of a point cloud with colours.

    Takes an array [points, 6 or more], x y z red green blue first, and else what `read_points`
    does. Raises InputError for what cannot be one or has no colours, MissingExtra where a library
    is not installed; warns as `prepare_coloured` does.
    """
    value = _file_of(value, COLOURED_OPTIONS)
    if not isinstance(value, PointFile):
        return prepare_coloured(array_from_value(value, EXPECTED_COLOURED), record)
    found = coloured_points_of(value)
    return _prepared(value, found, lambda points: prepare_coloured_points(points, record))


def _file_of(value: object, options: Mapping[str, Option]) -> object:
    """Return the PointFile that an Argument or a path means; what is neither, as it is."""
    if isinstance(value, Argument):
        path, given = value.file("point cloud", options)
        return PointFile(path, **given)
    return PointFile(value) if isinstance(value, str | Path) else value


def _prepared(file: PointFile, points: Doubles, made: Callable[[Doubles], Prepared]) -> Prepared:
    try:
        return made(points)
    except InputError as error:
        raise type(error)(f"{file.path}: {error}") from error
