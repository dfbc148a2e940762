"""Synthetic scenes: one patch of ground as each imaging sensor and camera sees it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.cameras import infrared, oblique, video
from edgespark.export.worlds.ground import Ground, draws, lay
from edgespark.export.worlds.satellites import VISIBLE, multispectral, optical, quick_look, radar
from edgespark.export.worlds.spectra import hyperspectral

Raster = NDArray[np.generic]
VIEWS: dict[str, tuple[int, Callable[[np.random.Generator, Ground], Raster]]] = {
    "hsi": (1 << 33, hyperspectral),
    "infrared": (1 << 34, infrared),
    "oblique": (1 << 35, oblique),
    "video": (1 << 36, video),
}
"""Views of one day each, with streams of their own: a new one changes none of the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One patch of ground, and what each modality shows of it, as a user would give it.

    `raw` holds rgb: uint8 [3, 64, 64], contrast-stretched as quick-look images are; msi: int16 [12,
    64, 64], reflectance x 10000; sar: float32 [2, 64, 64], VV and VH in dB; hsi: uint16 [48, 16,
    16], reflectance x 10000; infrared: float32 [2, 64, 64], kelvin; oblique: uint8 [3, 64, 64];
    video: uint8 [5, 3, 64, 64]. All but oblique and video are co-registered.
    """

    ground: Ground
    raw: dict[str, Raster]


def scene(stream: int, index: int) -> Scene:
    """Make scene number `index` of a stream; a pure function of both. Streams never overlap."""
    rng = draws(stream, index)
    place = lay(rng)
    reflected = optical(rng, place)
    raw: dict[str, Raster] = {
        "rgb": quick_look(rng, reflected[VISIBLE]),
        "msi": multispectral(rng, reflected),
        "sar": radar(rng, place),
    }
    for name, (own, view) in VIEWS.items():
        raw[name] = view(draws(own + stream, index), place)
    return Scene(ground=place, raw=raw)
