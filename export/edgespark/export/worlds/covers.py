"""The land covers of the synthetic world: what each reflects, scatters, and looks like.

Reflectances have the shapes that are well known for Sentinel-2's bands (water falls to nothing in
the infrared, vegetation has its red edge, soil rises), backscatter the levels usual in C band. They
are round figures for a small made-up world, not measurements.
"""

from dataclasses import dataclass
from typing import Literal

SENTINEL_2 = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
SENTINEL_1 = ("VV", "VH")
Pattern = Literal["smooth", "rough", "rows", "blocks", "spots"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """One land cover.

    `reflectance`: 0…1 for each of SENTINEL_2. `backscatter`: dB for each of SENTINEL_1. `pattern`
    and `contrast` (relative) make its texture. `near` are the covers it is easily taken for.
    """

    name: str
    reflectance: tuple[float, ...]
    backscatter: tuple[float, float]
    pattern: Pattern
    contrast: float
    near: tuple[str, ...]


COVERS = (
    Cover(
        name="water",
        reflectance=(0.06, 0.06, 0.055, 0.04, 0.035, 0.03, 0.03, 0.025, 0.025, 0.02, 0.012, 0.01),
        backscatter=(-20.0, -27.0),
        pattern="smooth",
        contrast=0.10,
        near=("wetland", "bare ground"),
    ),
    Cover(
        name="broadleaf forest",
        reflectance=(0.025, 0.03, 0.065, 0.04, 0.09, 0.25, 0.31, 0.33, 0.35, 0.35, 0.17, 0.08),
        backscatter=(-8.0, -13.0),
        pattern="rough",
        contrast=0.22,
        near=("conifer forest", "wetland"),
    ),
    Cover(
        name="conifer forest",
        reflectance=(0.03, 0.035, 0.045, 0.028, 0.065, 0.17, 0.21, 0.23, 0.24, 0.24, 0.11, 0.05),
        backscatter=(-10.0, -16.0),
        pattern="rough",
        contrast=0.28,
        near=("broadleaf forest", "wetland"),
    ),
    Cover(
        name="grassland",
        reflectance=(0.045, 0.05, 0.10, 0.065, 0.13, 0.26, 0.31, 0.33, 0.35, 0.35, 0.21, 0.12),
        backscatter=(-13.0, -21.0),
        pattern="smooth",
        contrast=0.10,
        near=("cropland", "shrubland"),
    ),
    Cover(
        name="cropland",
        reflectance=(0.05, 0.06, 0.095, 0.085, 0.15, 0.29, 0.36, 0.38, 0.40, 0.39, 0.27, 0.16),
        backscatter=(-11.5, -18.0),
        pattern="rows",
        contrast=0.20,
        near=("grassland", "orchard"),
    ),
    Cover(
        name="orchard",
        reflectance=(0.05, 0.055, 0.085, 0.075, 0.12, 0.22, 0.25, 0.27, 0.29, 0.29, 0.23, 0.15),
        backscatter=(-9.5, -15.0),
        pattern="spots",
        contrast=0.25,
        near=("cropland", "shrubland"),
    ),
    Cover(
        name="wetland",
        reflectance=(0.05, 0.055, 0.07, 0.05, 0.08, 0.15, 0.18, 0.19, 0.20, 0.18, 0.08, 0.045),
        backscatter=(-7.5, -18.0),
        pattern="rough",
        contrast=0.18,
        near=("water", "grassland"),
    ),
    Cover(
        name="shrubland",
        reflectance=(0.06, 0.07, 0.10, 0.11, 0.15, 0.21, 0.24, 0.26, 0.28, 0.28, 0.29, 0.20),
        backscatter=(-12.0, -16.0),
        pattern="spots",
        contrast=0.20,
        near=("grassland", "bare ground"),
    ),
    Cover(
        name="built-up area",
        reflectance=(0.12, 0.13, 0.145, 0.16, 0.17, 0.18, 0.19, 0.20, 0.21, 0.21, 0.23, 0.22),
        backscatter=(-4.0, -11.0),
        pattern="blocks",
        contrast=0.35,
        near=("bare ground", "orchard"),
    ),
    Cover(
        name="bare ground",
        reflectance=(0.09, 0.11, 0.15, 0.20, 0.23, 0.25, 0.27, 0.29, 0.31, 0.31, 0.39, 0.34),
        backscatter=(-16.0, -23.5),
        pattern="smooth",
        contrast=0.15,
        near=("shrubland", "built-up area"),
    ),
)
NAMES = tuple(cover.name for cover in COVERS)
