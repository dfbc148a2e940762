"""Files of point clouds: LAS, LAZ, PLY, text and .npy, read piece by piece."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from reprlib import repr as shortened
from typing import TypeAlias

import numpy as np

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.points.colours import COLOURED, POSITION, SHARE, full_of_dtype
from edgespark.runtime.points.lidar import lidar_full, lidar_pieces
from edgespark.runtime.points.lines import text_pieces
from edgespark.runtime.points.ply import ply_full, ply_pieces
from edgespark.runtime.points.thinned import Doubles, finite, pieces, thinned

Bounds: TypeAlias = tuple[float, float, float, float]
"""The least x and y, the greatest x and y, in the file's own units; the edges count as inside."""

Read: TypeAlias = Callable[[Path], Iterator[Doubles]]

SIDES = 4


@dataclass(frozen=True, slots=True)
class PointFile:
    """A file of a point cloud, and the part of it that is meant.

    `bounds` is (xmin, ymin, xmax, ymax) in the file's own units. No file is held in memory as a
    whole, with bounds or without; of more than 65536 points that are meant, every second, fourth, …
    is taken, in the file's order. `colours` is what full colour is in the file, for models that
    take colours: 255, 65535 or 1; None means what the format says (LAS: 65535; PLY: by the type of
    its colours; .npy of whole numbers: 255; .npy of real ones, and text: 1). Raises InputError
    where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    bounds: Bounds | None = None
    colours: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "point cloud")
        if self.bounds is not None:
            object.__setattr__(self, "bounds", _checked(self.bounds))
        if self.colours is not None and not (
            is_number(self.colours) and 0 < self.colours < float("inf")
        ):
            raise InputError(
                f"colours must be what full colour is, such as 255, got {shortened(self.colours)}"
            )


def points_of(file: PointFile) -> Doubles:
    """Return a file's points, float64 [at most 65536, 3]; InputError, MissingExtra."""
    return _points(file, FORMATS)


def coloured_points_of(file: PointFile) -> Doubles:
    """Return a file's points and colours, float64 [at most 65536, 6], full colour as 1.

    Raises InputError and MissingExtra; warns (EdgesparkWarning) where what full colour is was told
    by the colours themselves.
    """
    points = _points(file, COLOURED_FORMATS)
    path = checked_file(file.path)
    try:
        full = file.colours or by_suffix(path, FULL)(path, points)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    points[:, len(POSITION) :] /= full
    return points


def _points(file: PointFile, formats: Mapping[str, Read]) -> Doubles:
    path = checked_file(file.path)
    found = finite(by_suffix(path, formats)(path))
    try:
        return thinned(found if file.bounds is None else _within(found, file.bounds))
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _within(found: Iterator[Doubles], bounds: Bounds) -> Iterator[Doubles]:
    """Yield the points inside; InputError where there is none, which tells where the cloud is."""
    lower, upper = np.array(bounds[:2]), np.array(bounds[2:])
    least, most, count = np.full(2, np.inf), np.full(2, -np.inf), 0
    for piece in found:
        plane = piece[:, :2]
        least = np.minimum(least, plane.min(axis=0, initial=np.inf))
        most = np.maximum(most, plane.max(axis=0, initial=-np.inf))
        inside = ((plane >= lower) & (plane <= upper)).all(axis=1)
        count += np.count_nonzero(inside)
        yield piece[inside]
    if not count:
        raise InputError(
            f"no point lies within bounds={_listed(bounds)}; the cloud reaches over "
            f"{_listed((*least, *most))}"
        )


def _npy_pieces(path: Path) -> Iterator[Doubles]:
    return pieces(mapped_npy(path))


def _coloured_npy_pieces(path: Path) -> Iterator[Doubles]:
    return pieces(mapped_npy(path), COLOURED)


def _npy_full(path: Path, _: Doubles) -> float:
    return full_of_dtype(mapped_npy(path).dtype)


def _text_full(_: Path, __: Doubles) -> float:
    return SHARE


def _checked(bounds: object) -> Bounds:
    sides = tuple(bounds) if isinstance(bounds, tuple | list | np.ndarray) else ()
    if len(sides) != SIDES or not all(is_number(side) for side in sides):
        raise InputError(f"bounds must be xmin, ymin, xmax, ymax, got {shortened(bounds)}")
    xmin, ymin, xmax, ymax = (float(side) for side in sides)
    if not (xmin < xmax and ymin < ymax):  # a NaN comes here, too
        raise InputError(
            f"bounds {_listed((xmin, ymin, xmax, ymax))} hold nothing: "
            "expected xmin < xmax and ymin < ymax"
        )
    return xmin, ymin, xmax, ymax


def _listed(sides: tuple[float, ...]) -> str:
    return ",".join(f"{side:.10g}" for side in sides)


def _sides(text: str) -> tuple[float, ...]:
    return tuple(float(side) for side in text.split(","))


OPTIONS = {"bounds": Option(_sides, "bounds=XMIN,YMIN,XMAX,YMAX")}

COLOURED_OPTIONS = {**OPTIONS, "colours": Option(float, "colours=255")}

FORMATS: dict[str, Read] = {
    ".las": lidar_pieces,
    ".laz": lidar_pieces,
    ".ply": ply_pieces,
    ".xyz": text_pieces,
    ".txt": text_pieces,
    ".csv": text_pieces,
    ".npy": _npy_pieces,
}

COLOURED_FORMATS: dict[str, Read] = {
    ".las": partial(lidar_pieces, coloured=True),
    ".laz": partial(lidar_pieces, coloured=True),
    ".ply": partial(ply_pieces, coloured=True),
    ".xyz": partial(text_pieces, coloured=True),
    ".txt": partial(text_pieces, coloured=True),
    ".csv": partial(text_pieces, coloured=True),
    ".npy": _coloured_npy_pieces,
}
FULL: dict[str, Callable[[Path, Doubles], float]] = {
    ".las": lidar_full,
    ".laz": lidar_full,
    ".ply": ply_full,
    ".xyz": _text_full,
    ".txt": _text_full,
    ".csv": _text_full,
    ".npy": _npy_full,
}
"""What full colour is in a file, where it is not told: from its path and its points [some, 6]."""
