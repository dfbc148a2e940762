"""From a cloud of points to the neighbourhoods that Point-BERT takes."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.points.farthest import Floats, farthest, nearest
from edgespark.runtime.points.thinned import Doubles, finite, pieces, thinned
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Points

COARSE = 1 << 10
"""A cloud with fewer steps of float32 across than this has lost its shape."""


def prepare(cloud: NDArray[Any], record: Points) -> Prepared:
    """Return `neighbourhoods` [1, groups, neighbours, 3] and `centres` [1, groups, 3], float32.

    `cloud` is [points, 3 or more] of real or whole numbers, x y z first, in one unit, at any place;
    what is far from the origin (UTM) should be float64. Of more than 65536 points, every second,
    fourth, … is taken. Raises InputError where the shape or type is another, points are masked,
    infinite or NaN, and as `prepare_points` does, which also warns.
    """
    return prepare_points(thinned(finite(pieces(cloud))), record)


def prepare_points(points: Doubles, record: Points) -> Prepared:
    """Return what `prepare` does, for finite points float64 [points, 3].

    They are moved to their mean and divided by the greatest distance from it, in float64. On those,
    as float32, farthest-point sampling (as pointnet2_ops: what is next to the origin is skipped)
    keeps `record.count`, unless there are just so many, then finds the centres among them. Raises
    InputError where there are too few points, or all are equal; warns (EdgesparkWarning) where
    fewer differ than the model takes, or rounding has made them coarse.
    """
    if len(points) < record.count:
        raise InputError(
            f"a point cloud with fewer points than needed: {len(points)}; the model takes "
            f"{record.count}"
        )
    warn_of_steps(points)
    kept = _kept(normal(points), record.count)
    centres = kept[farthest(kept, record.groups)]
    groups = kept[nearest(kept, centres, record.neighbours)] - centres[:, None]
    return Prepared(arrays={"neighbourhoods": groups[None], "centres": centres[None]})


def normal(points: Doubles) -> Floats:
    """Return the points moved to their mean, the farthest at distance 1."""
    if not np.ptp(points, axis=0).any():
        x, y, z = points[0]
        raise InputError(f"all its {len(points)} points are equal: {x:g}, {y:g}, {z:g}")
    centred: Doubles = points - points[0]  # first, since a mean of large numbers rounds
    centred /= np.abs(centred).max()
    centred -= centred.mean(axis=0)
    centred /= np.sqrt(np.square(centred).sum(axis=1).max())
    return centred.astype(np.float32)


def _kept(points: Floats, count: int) -> Floats:
    if len(points) == count:
        return points
    kept = points[farthest(points, count)]
    differ = len(np.unique(kept, axis=0))
    if differ < count:
        _warn(
            f"only {differ} different points of the cloud can be picked; the model takes {count}, "
            "and some count more than once"
        )
    return kept


def warn_of_steps(points: Doubles) -> None:
    """Warn where all coordinates are float32's, and its steps are coarse against the extent."""
    extent = float(np.ptp(points, axis=0).max())
    step = float(np.spacing(np.float32(np.abs(points).max())))
    if 0 < extent < COARSE * step and (points == points.astype(np.float32)).all():
        _warn(
            f"the cloud is {extent:g} across, and its coordinates seem to be rounded to float32, "
            f"in steps of {step:g}; take an offset away before rounding, or give float64"
        )


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
