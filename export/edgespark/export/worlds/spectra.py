"""One patch of ground as an imaging spectrometer sees it.

Between Sentinel-2's bands a cover's spectrum is a straight line, cut by the absorption features
that every textbook of imaging spectroscopy shows: chlorophyll near 675 nm, leaf water near 970 and
1200 nm, cellulose and lignin near 2100 nm, clay near 2200 nm. No band lies in the atmosphere's
water bands around 1400 and 1900 nm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import COVERS, NAMES
from edgespark.export.worlds.ground import SIZE, Float, Ground
from edgespark.export.worlds.satellites import shaded

CENTRES = (443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1610, 2190)  # nm, of SENTINEL_2
WAVELENGTHS = (
    *range(425, 986, 20),
    *range(1020, 1301, 40),
    *range(1500, 1741, 60),
    *(2050, 2100, 2150, 2200, 2300, 2450),
)  # nm
SIDE = 16
CELL = SIZE // SIDE
Material = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """An absorption feature: centre and half width (one sigma) in nm, and which material has it."""

    centre: float
    width: float
    depth: float
    material: int


CHLOROPHYLL, LEAF_WATER, CELLULOSE, CLAY = range(4)
FEATURES = (
    Feature(centre=675, width=22, depth=0.30, material=CHLOROPHYLL),
    Feature(centre=970, width=28, depth=0.10, material=LEAF_WATER),
    Feature(centre=1200, width=40, depth=0.20, material=LEAF_WATER),
    Feature(centre=2100, width=45, depth=0.25, material=CELLULOSE),
    Feature(centre=2200, width=28, depth=0.30, material=CLAY),
)
MATERIALS: dict[str, Material] = {  # how much of each material a cover holds, 0…1
    "water": (0.1, 0.0, 0.0, 0.0),
    "broadleaf forest": (0.8, 0.8, 0.1, 0.0),
    "conifer forest": (0.7, 0.6, 0.25, 0.0),
    "grassland": (0.6, 0.6, 0.3, 0.05),
    "cropland": (0.6, 0.5, 0.4, 0.15),
    "orchard": (0.5, 0.4, 0.3, 0.2),
    "wetland": (0.5, 0.9, 0.2, 0.0),
    "shrubland": (0.3, 0.2, 0.6, 0.3),
    "built-up area": (0.05, 0.05, 0.05, 0.15),
    "bare ground": (0.0, 0.0, 0.1, 0.8),
}


def hyperspectral(rng: np.random.Generator, ground: Ground) -> NDArray[np.uint16]:
    """Reflectance x 10000 [48, 16, 16] in cells of 40 m.

    The season changes every cover's spectrum smoothly. The atmosphere is never quite corrected:
    neighbouring bands are off by about the same factor, and every band by a little of its own.
    """
    spectra = np.array([SPECTRA[member] for member in ground.members])
    spectra = spectra * np.exp(rng.normal(0, 0.15, (len(spectra), 1)))
    spectra *= np.exp(np.stack([drift(rng, 0.10) for _ in spectra]))
    gains = np.exp(drift(rng, 0.10) + rng.normal(0, 0.02, len(WAVELENGTHS)))
    cells = shaded(rng, ground).reshape(-1, SIDE, CELL, SIDE, CELL).mean((2, 4))
    seen = np.einsum("myx,mb->byx", cells, spectra) * gains[:, None, None]
    noisy = seen + rng.normal(0, 0.01, seen.shape)
    return np.asarray(np.clip(noisy * 10000, 1, 16000), np.uint16)


def drift(rng: np.random.Generator, strength: float) -> Float:
    """Make a smooth function of wavelength, [48], of about that standard deviation."""
    terms = np.arange(5)
    waves = np.cos(np.linspace(0, np.pi, len(WAVELENGTHS))[:, None] * terms)
    return np.asarray(waves @ (rng.normal(size=len(terms)) * strength / np.sqrt(1 + terms)))


def spectrum(cover: int) -> Float:
    """Give a cover's reflectance at WAVELENGTHS: its Sentinel-2 bands joined, features cut in."""
    at = np.array(WAVELENGTHS, np.float64)
    reflected = np.interp(at, CENTRES, COVERS[cover].reflectance)
    for feature in FEATURES:
        depth = feature.depth * MATERIALS[NAMES[cover]][feature.material]
        reflected *= 1 - depth * np.exp(-(((at - feature.centre) / feature.width) ** 2) / 2)
    return reflected


SPECTRA = tuple(spectrum(cover) for cover in range(len(COVERS)))
