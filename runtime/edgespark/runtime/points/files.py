"""Files of point clouds: LAS, LAZ, PLY, text and .npy, read piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import TypeAlias

import numpy as np

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.points.lidar import lidar_pieces
from edgespark.runtime.points.lines import text_pieces
from edgespark.runtime.points.ply import ply_pieces
from edgespark.runtime.points.thinned import Doubles, finite, pieces, thinned

Bounds: TypeAlias = tuple[float, float, float, float]
"""The least x and y, the greatest x and y, in the file's own units; the edges count as inside."""

SIDES = 4


@dataclass(frozen=True, slots=True)
class PointFile:
    """A file of a point cloud, and the part of it that is meant.

    `bounds` is (xmin, ymin, xmax, ymax) in the file's own units. No file is held in memory as a
    whole, with bounds or without; of more than 65536 points that are meant, every second, fourth, …
    is taken, in the file's order. Raises InputError where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    bounds: Bounds | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "point cloud")
        if self.bounds is not None:
            object.__setattr__(self, "bounds", _checked(self.bounds))


def points_of(file: PointFile) -> Doubles:
    """Return a file's points, float64 [at most 65536, 3]; InputError, MissingExtra."""
    path = checked_file(file.path)
    found = finite(by_suffix(path, FORMATS)(path))
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

FORMATS: dict[str, Callable[[Path], Iterator[Doubles]]] = {
    ".las": lidar_pieces,
    ".laz": lidar_pieces,
    ".ply": ply_pieces,
    ".xyz": text_pieces,
    ".txt": text_pieces,
    ".csv": text_pieces,
    ".npy": _npy_pieces,
}
