"""Position tables of vision transformers, brought to another grid when weights are loaded."""

from math import isqrt

from torch import Tensor, nn

from edgespark.runtime.errors import InputError

RANK = 3


def resized_positions(table: Tensor, side: int) -> Tensor:
    """Resize a table [1, 1 + n * n, width] to [1, 1 + side * side, width].

    The class row is kept; the grid is interpolated bicubically, corners not aligned, without
    antialiasing, as Lynx does when it loads a checkpoint (bytedance/lynx-llm at 24680d1). A table
    of that size already is given back as it is. Raises InputError where the rows after the first
    form no square.
    """
    one, rows = (*table.shape, 0, 0)[:2]
    before = isqrt(max(rows - 1, 0))
    if table.dim() != RANK or one != 1 or before < 1 or before**2 + 1 != rows:
        raise InputError(
            f"a position table of shape {list(table.shape)}; expected a class row and a square grid"
        )
    if before == side:
        return table
    first, grid = table[:, :1], table[:, 1:]
    image = grid.transpose(1, 2).unflatten(2, (before, before))  # type: ignore[no-untyped-call] # torch
    resized = nn.functional.interpolate(
        image, size=(side, side), mode="bicubic", align_corners=False, antialias=False
    )
    joined: Tensor = first.new_empty(1, 1 + side**2, table.shape[2])
    joined[:, :1], joined[:, 1:] = first, resized.flatten(2).transpose(1, 2)
    return joined
