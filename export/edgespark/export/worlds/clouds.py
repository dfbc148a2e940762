"""Synthetic point clouds: a patch of ground as an airborne laser scanner sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import SIZE, Float, Ground, smooth
from edgespark.runtime.preprocessing import Points

CLOUD = Points(count=512, groups=32, neighbours=16)
DENSITY = {"water": 0.4, "wetland": 0.75}  # returns per pulse, where it is not 1
LEVEL = ("water", "wetland")  # covers that lie level, however the land slopes
STEEPEST = 0.06  # slope of the land, metres per metre
RANGING = 0.03  # standard deviation of the scanner's own heights, metres
LATTICE = 64  # sites a side before a lattice repeats
Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """Plants of one kind: crowns around the sites of a lattice.

    `spacing` and `top` are spans in metres, drawn once a patch; single plants' heights vary by the
    share `spread`. Crowns have a `radius` (of the spacing), begin at `base` (of the top) and are
    cones (`form` 1) to ellipsoids (2). A site is taken with the chance `taken`, off the lattice by
    up to `jitter` of the spacing. A pulse goes `through` to the ground with that chance, else it
    returns from as deep as `depth` of the top on average.
    """

    spacing: Span
    top: Span
    spread: float
    radius: float
    base: float
    form: Span
    taken: float
    jitter: float
    through: float
    depth: float


STANDS = {
    "broadleaf forest": Stand(
        spacing=(6.5, 9.5), top=(10, 18), spread=0.12, radius=0.6, base=0.25, form=(1.6, 2.4),
        taken=0.97, jitter=0.15, through=0.12, depth=0.07,
    ),
    "conifer forest": Stand(
        spacing=(4.5, 7), top=(12, 25), spread=0.15, radius=0.6, base=0.15, form=(0.85, 1.1),
        taken=0.93, jitter=0.15, through=0.12, depth=0.05,
    ),
    "orchard": Stand(
        spacing=(4.5, 6.5), top=(2.6, 4.4), spread=0.06, radius=0.4, base=0.3, form=(1.6, 2.2),
        taken=0.96, jitter=0.0, through=0.1, depth=0.08,
    ),
    "wetland": Stand(
        spacing=(7, 13), top=(1.0, 2.5), spread=0.1, radius=0.5, base=0.8, form=(2, 3),
        taken=0.5, jitter=0.2, through=0.15, depth=0.15,
    ),
    "shrubland": Stand(
        spacing=(2.5, 5), top=(1.0, 2.5), spread=0.35, radius=0.55, base=0.2, form=(1.2, 2.2),
        taken=0.75, jitter=0.35, through=0.15, depth=0.12,
    ),
}  # fmt: skip


def cloud(rng: np.random.Generator, ground: Ground) -> NDArray[np.float32]:
    """Scan a patch of 64 m x 64 m: x, y and z in metres [512, 3], one row a return.

    A cell of the ground is one metre here, and has the cover of the member with most of it. Each
    return comes from the ground or from what stands on it; water swallows most of its pulses.
    """
    cover = ground.abundance.argmax(0)
    names = [NAMES[member] for member in ground.members]
    density = np.array([DENSITY.get(name, 1.0) for name in names])[cover]
    cells = _drawn(rng, density)
    at = np.stack([cells % SIZE, cells // SIZE], 1) + rng.random((len(cells), 2))
    land, here = _land(rng), cover.ravel()[cells]
    heights = np.empty(len(cells))
    for member, name in enumerate(names):
        mine = here == member
        base = _bases(land, cover == member, level=name in LEVEL)[cells[mine]]
        grain = ground.textures[member].ravel()[cells[mine]]
        heights[mine] = base + COVERINGS[name](rng, at[mine], grain)
    heights += rng.normal(0, RANGING, len(cells))
    return np.column_stack([at, heights]).astype(np.float32)


def _drawn(rng: np.random.Generator, density: Float) -> NDArray[np.int64]:
    total = density.ravel().cumsum()
    drawn = np.searchsorted(total, rng.random(CLOUD.count) * total[-1], side="right")
    return np.asarray(np.minimum(drawn, total.size - 1), np.int64)


def _land(rng: np.random.Generator) -> Float:
    slope, towards = rng.uniform(0, STEEPEST), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    plane = slope * (x * np.cos(towards) + y * np.sin(towards))
    return np.asarray(plane + rng.uniform(0.05, 0.3) * smooth(rng, 3))


def _bases(land: Float, mine: NDArray[np.bool_], *, level: bool) -> Float:
    if level and mine.any():
        return np.full(land.size, np.percentile(land[mine], 10))
    return land.ravel()


def _sites(rng: np.random.Generator, at: Float, spacing: float) -> tuple[Float, NDArray[np.int64]]:
    """Find each point's site on a lattice, turned at random: offset [n, 2] in spacings, index."""
    turn = rng.uniform(0, np.pi / 2)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    place = at @ axes / spacing + rng.random(2)
    site = np.floor(place).astype(np.int64)
    return place - site - 0.5, (site % LATTICE) @ np.array([LATTICE, 1])


def _stand(rng: np.random.Generator, at: Float, _: Float, *, stand: Stand) -> Float:
    offset, site = _sites(rng, at, rng.uniform(*stand.spacing))
    offset = offset - stand.jitter * rng.uniform(-1, 1, (LATTICE**2, 2))[site]
    beside = np.hypot(*offset.T) / stand.radius
    sizes = 1 + stand.spread * rng.normal(size=LATTICE**2).clip(-2, 2)
    top = rng.uniform(*stand.top) * sizes[site]
    form = rng.uniform(*stand.form)
    crown = (1 - np.minimum(beside, 1) ** form) ** (1 / form)
    depth = rng.exponential(stand.depth, len(at))
    height = top * np.maximum(stand.base + (1 - stand.base) * crown - depth, 0)
    taken = (rng.random(LATTICE**2) < stand.taken)[site]
    return np.where(taken & (beside < 1) & (rng.random(len(at)) > stand.through), height, 0.0)


def _boxes(rng: np.random.Generator, at: Float, _: Float) -> Float:
    """Flat roofs 3 m to 12 m up, over houses of right angles with sides of 5 m to 15 m."""
    spacing = rng.uniform(11, 18)
    offset, site = _sites(rng, at, spacing)
    sides = rng.uniform(
        np.maximum(5 / spacing, 0.5), np.minimum(15 / spacing, 0.88), (LATTICE**2, 2)
    )
    storeys = rng.uniform(3, 8) + rng.uniform(0, 4, LATTICE**2)
    inside = (np.abs(offset) < sides[site] / 2).all(1)
    taken = rng.random(LATTICE**2) < 0.8  # noqa: PLR2004 the others are yards
    return np.where(inside & taken[site], storeys[site], 0.0)


def _rows(rng: np.random.Generator, at: Float, grain: Float) -> Float:
    """Rows of a crop 0.3 m to 1.3 m tall, along the texture that pictures show."""
    crop = rng.uniform(0.3, 1.3) * (1 + rng.normal(0, 0.06, len(at)))
    return np.where((grain > rng.uniform(-0.6, 0)) & (rng.random(len(at)) > 0.1), crop, 0.0)  # noqa: PLR2004 gaps


def _grass(rng: np.random.Generator, at: Float, _: Float) -> Float:
    return np.minimum(rng.exponential(rng.uniform(0.04, 0.14), len(at)), 0.3)


def _bare(rng: np.random.Generator, _: Float, grain: Float) -> Float:
    """Bumps and hollows, between a knee's and a man's height."""
    return np.asarray(rng.uniform(0.5, 1.2) * grain)


def _flat(_: np.random.Generator, at: Float, __: Float) -> Float:
    return np.zeros(len(at))


COVERINGS: dict[str, Callable[[np.random.Generator, Float, Float], Float]] = {
    "water": _flat,
    "grassland": _grass,
    "cropland": _rows,
    "built-up area": _boxes,
    "bare ground": _bare,
} | {name: partial(_stand, stand=stand) for name, stand in STANDS.items()}
