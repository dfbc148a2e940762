"""Symmetries of the world: what may be turned or mirrored without changing the right answer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.generic]
Arrays = tuple[Raster, ...]
Move = Callable[["Symmetry", Arrays], Arrays]


@dataclass(frozen=True, kw_only=True, slots=True)
class Symmetry:
    """One of the square's eight symmetries, and an angle in radians for what has no grid."""

    turns: int
    mirrored: bool
    angle: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Symmetry":
        """Draw one; every one is as likely."""
        return cls(
            turns=int(rng.integers(4)),
            mirrored=bool(rng.integers(2)),
            angle=float(rng.uniform(0, 2 * np.pi)),
        )

    def grid(self, rasters: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn and mirror [..., rows, columns]."""
        turned = np.rot90(rasters, self.turns, (-2, -1))
        return turned[..., ::-1] if self.mirrored else turned

    def mirror(self, rasters: NDArray[np.generic]) -> NDArray[np.generic]:
        """Mirror [..., rows, columns] alone, for what has an up and a down."""
        return rasters[..., ::-1] if self.mirrored else rasters

    def place(self, points: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn [..., 2 or 3] about the vertical axis."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = np.array(points)
        turned[..., 0] = cos * points[..., 0] - sin * points[..., 1]
        turned[..., 1] = sin * points[..., 0] + cos * points[..., 1]
        return turned


def _all(move: Callable[[Symmetry, NDArray[np.generic]], NDArray[np.generic]], count: int) -> Move:
    def moved(symmetry: Symmetry, arrays: Arrays) -> Arrays:
        return (*(move(symmetry, each) for each in arrays[:count]), *arrays[count:])

    return moved


MOVES: dict[str, Move] = {
    **dict.fromkeys(("rgb", "msi", "sar", "hsi", "infrared", "video"), _all(Symmetry.grid, 1)),
    "oblique": _all(Symmetry.mirror, 1),
    "point_cloud": _all(Symmetry.place, 2),
    "trajectory": _all(Symmetry.place, 2),  # `present` stays
}
