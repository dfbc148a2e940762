"""From a cloud of coloured points to the neighbourhoods that OneLLM takes."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.points.colours import COLOURED, POSITION, full_of_dtype
from edgespark.runtime.points.farthest import Floats, Indices, farthest, nearest
from edgespark.runtime.points.prepare import normal, warn_of_steps
from edgespark.runtime.points.thinned import Doubles, finite, pieces, thinned
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import ColouredPoints

CLOSE = 1e-6
"""How far a colour may be beyond 0…1: quotients are rounded."""
DARK = 1 / 255
"""Of full colour: where none is brighter, full colour may be another."""
THREADS = 1024
"""The most of a block in OneLLM's kernel; decides between exact ties."""
XYZ, RGB = slice(len(POSITION)), slice(len(POSITION), len(COLOURED))


def prepare_coloured(cloud: NDArray[Any], record: ColouredPoints) -> Prepared:
    """Return `neighbourhoods`, float32 [1, groups, neighbours, 6].

    `cloud` is [points, 6 or more], x y z red green blue first, the position in any one unit, at any
    place (what is far from the origin should be float64). Colours are 0…1 in an array of real
    numbers, as in the files that the model was trained on, and 0…255 in one of whole numbers. Of
    more than 65536 points, every second, fourth, … is taken. Raises InputError where the shape or
    type is another, something is masked, infinite or NaN, and as `prepare_coloured_points` does,
    which also warns.
    """
    points = thinned(finite(pieces(cloud, COLOURED)))
    points[:, RGB] /= full_of_dtype(cloud.dtype)
    return prepare_coloured_points(points, record)


def prepare_coloured_points(points: Doubles, record: ColouredPoints) -> Prepared:
    """Return what `prepare_coloured` does, for finite points float64 [points, 6], colours 0…1.

    Of more than `record.count`, farthest-point sampling of the positions keeps so many, beginning
    with point 0: PointLLM (OpenRobotLab/PointLLM), from which OneLLM has its clouds, begins with
    any. The positions kept are moved to their mean and divided by the greatest distance from it.
    Raises InputError where a colour is beyond 0…1, or points are fewer than groups or neighbours,
    or all at one place; warns (EdgesparkWarning) where points are fewer than `record.count`, or
    different colours fewer than groups, or all dark, or rounding has made the positions coarse.
    """
    _check_count(len(points), record)
    points = np.column_stack([points[:, XYZ], _checked_colours(points[:, RGB])])
    warn_of_steps(points[:, XYZ])
    kept = _kept(points, record.count)
    values = np.column_stack([normal(kept[:, XYZ]), kept[:, RGB].astype(np.float32)])
    _warn_of_colours(values[:, RGB], record.groups)
    return Prepared(arrays={"neighbourhoods": values[groups(values, record)[1]][None]})


def groups(values: Floats, record: ColouredPoints) -> tuple[Indices, Indices]:
    """Return indices into `values` [points, 6]: centres [groups], neighbours [groups, neighbours].

    As OneLLM has it (csuhan/OneLLM at 8587a47, model/lib/point_utils.py), both go by columns 3 to
    5: centres are sampled farthest-first from point 0 on, with no rule about the origin, and their
    nearest points count themselves in. Neighbours stand in ascending order: the model takes the
    greatest over them.
    """
    colours = np.ascontiguousarray(values[:, RGB])
    centres = farthest(colours, record.groups, skip_near_origin=False, threads=THREADS)
    return centres, np.sort(nearest(colours, colours[centres], record.neighbours), axis=1)


def _kept(points: Doubles, count: int) -> Doubles:
    if len(points) <= count:
        return points
    picked = farthest(normal(points[:, XYZ]), count, skip_near_origin=False, threads=THREADS)
    differ = len(np.unique(picked))
    if differ < count:
        _warn(
            f"only {differ} points of the cloud differ in position; the model takes {count}, and "
            "some count more than once"
        )
    return points[picked]


def _check_count(found: int, record: ColouredPoints) -> None:
    needed = max(record.groups, record.neighbours)
    if found < needed:
        raise InputError(
            f"a point cloud with fewer points than needed: {found}; the model takes "
            f"{record.count}, and {needed} at least"
        )
    if found < record.count:
        _warn(f"has {found} points; the model was made for {record.count}: all are taken")


def _checked_colours(colours: Doubles) -> Doubles:
    """Return colours of 0…1 where these are that, but for rounding."""
    wrong = ~((colours >= -CLOSE) & (colours <= 1 + CLOSE))
    if wrong.any():
        point, colour = np.argwhere(wrong)[0]
        name, value = COLOURED[len(POSITION) + colour], colours[point, colour]
        raise InputError(
            f"a point has {name} = {value:g} of full colour; expected 0 to 1: divide colours by "
            "what full colour is, or, of a file, say so with colours=255"
        )
    if 0 < colours.max() <= DARK:
        _warn(
            f"its brightest colour is {colours.max():.3g} of full colour, almost black: is full "
            "colour another? Of a file, say so with colours=255"
        )
    return np.clip(colours, 0, 1)


def _warn_of_colours(colours: Floats, needed: int) -> None:
    differ = len(np.unique(colours, axis=0))
    if differ < needed:
        _warn(
            f"its points have only {differ} different colours; the model groups points by colour, "
            f"and so some of its {needed} groups are alike"
        )


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
