"""One patch of ground as cameras see it: heat from above, a view from the side, a moving view."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import METRES, SIZE, Float, Ground
from edgespark.export.worlds.satellites import VISIBLE, optical, quick_look

THERMAL = {"MWIR": 3.9, "LWIR": 10.8}  # um
SECOND = 14388.0  # um K, Planck's second radiation constant
SUN, DISC = 5800.0, 2.16e-5  # K, and the sun's solid angle over pi
NOISE = 0.15  # K
HAZE = np.array([0.13, 0.155, 0.19])  # red, green and blue of endless air
FRAMES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """What a cover is to heat and to the eye from the side.

    `warmer`: kelvin above the air under full sun. `relief`: kelvin of its texture. `reflected`: 0…1
    at MWIR and LWIR; the rest of one is its emissivity. `height` in metres.
    """

    warmer: float
    relief: float
    reflected: tuple[float, float]
    height: float


# Round figures in the order that is well known: water is even and cool by day, leaves keep near
# the air, dry soil and roofs are hot, and minerals reflect the sun at 3.9 um.
SURFACES = {
    "water": Surface(warmer=-5.0, relief=0.3, reflected=(0.02, 0.01), height=0),
    "broadleaf forest": Surface(warmer=-0.3, relief=0.9, reflected=(0.025, 0.015), height=18),
    "conifer forest": Surface(warmer=1.5, relief=1.5, reflected=(0.02, 0.01), height=22),
    "grassland": Surface(warmer=5.0, relief=0.6, reflected=(0.045, 0.02), height=0.3),
    "cropland": Surface(warmer=6.0, relief=1.6, reflected=(0.055, 0.025), height=1),
    "orchard": Surface(warmer=5.0, relief=1.8, reflected=(0.06, 0.025), height=7),
    "wetland": Surface(warmer=-2.7, relief=0.5, reflected=(0.03, 0.012), height=2.5),
    "shrubland": Surface(warmer=10.0, relief=1.6, reflected=(0.10, 0.035), height=2),
    "built-up area": Surface(warmer=12.0, relief=3.5, reflected=(0.12, 0.06), height=10),
    "bare ground": Surface(warmer=14.0, relief=1.0, reflected=(0.20, 0.05), height=0),
}


def infrared(rng: np.random.Generator, ground: Ground) -> NDArray[np.float32]:
    """Brightness temperature in kelvin [2, 64, 64] at MWIR and LWIR, by day.

    Every cover emits what its temperature and emissivity say and reflects the cold sky and, at
    MWIR, the sun.
    """
    surfaces = [SURFACES[NAMES[member]] for member in ground.members]
    air, sun = 294 + rng.normal(0, 1.5), rng.uniform(0.8, 1.0)
    warmer = np.array([each.warmer for each in surfaces]) * sun + rng.normal(0, 0.8, len(surfaces))
    relief = np.array([each.relief for each in surfaces]) * rng.uniform(0.8, 1.2)
    kelvin = air + warmer[:, None, None] + relief[:, None, None] * ground.textures
    seen = [
        _brightness(wavelength, kelvin, ground.abundance, _mirror(rng, surfaces, band), sun)
        for band, wavelength in enumerate(THERMAL.values())
    ]
    return np.asarray(np.stack(seen) + rng.normal(0, NOISE, (len(seen), SIZE, SIZE)), np.float32)


def _mirror(rng: np.random.Generator, surfaces: list[Surface], band: int) -> Float:
    reflected = np.array([each.reflected[band] for each in surfaces])
    return np.asarray(reflected * np.exp(rng.normal(0, 0.15, len(surfaces))))[:, None, None]


def _brightness(
    wavelength: float, kelvin: Float, abundance: Float, reflected: Float, sun: float
) -> Float:
    """Mix the members' radiances and tell which black body would give as much: [64, 64]."""
    sky = planck(wavelength, 250.0) + DISC * sun * planck(wavelength, SUN)
    radiance = (1 - reflected) * planck(wavelength, kelvin) + reflected * sky
    mixed = (abundance * radiance).sum(0)
    return np.asarray(SECOND / wavelength / np.log1p(1 / mixed))


def planck(wavelength: float, kelvin: Float | float) -> Float:
    """Radiance of a black body at a wavelength in um, but for a factor of the wavelength alone."""
    return np.asarray(1 / np.expm1(SECOND / wavelength / np.asarray(kelvin)))


def oblique(rng: np.random.Generator, ground: Ground) -> NDArray[np.uint8]:
    """Colours [3, 64, 64] as a low-flying camera sees them that looks 32 to 55 degrees down.

    Tall covers rise from the ground, haze grows with the distance, and there may be sky on top.
    """
    height = _heights(ground)
    colours = optical(rng, ground)[VISIBLE] * _sunlit(rng, height)
    above = rng.uniform(28, 42)
    ahead, aside, away = _rays(np.deg2rad(rng.uniform(32, 55)), np.tan(rng.uniform(0.44, 0.56)))
    heading, centre = rng.uniform(0, 2 * np.pi), (SIZE - 1) / 2 + rng.uniform(-4, 4, (2, 1, 1))
    axis = np.array([np.cos(heading), np.sin(heading)])[:, None, None]
    side = np.array([-np.sin(heading), np.cos(heading)])[:, None, None]
    start = centre - axis * ahead[SIZE // 2, SIZE // 2] * above  # so that it looks at the middle
    ray = axis * ahead + side * aside
    fall = np.full_like(away, above)
    for _ in range(2):  # a ray ends at what stands in its way
        fall = above - sample(height[None], *(start + ray * fall))[0]
    clear = np.exp(-away * above / rng.uniform(500, 1500))
    haze = HAZE[:, None, None] * rng.uniform(0.8, 1.2)
    return quick_look(rng, sample(colours, *(start + ray * fall)) * clear + haze * (1 - clear))


def _sunlit(rng: np.random.Generator, height: Float) -> Float:
    """Tell how bright the slopes of a surface [64, 64] are, under a low sun from somewhere."""
    sun = rng.uniform(0, 2 * np.pi)
    down, across = np.gradient(height)
    return np.asarray(np.exp(-0.4 * np.clip(np.cos(sun) * down + np.sin(sun) * across, -2, 2)))


def _heights(ground: Ground) -> Float:
    """Give the height of what stands on the ground [64, 64], in cells."""
    tall = np.array([SURFACES[NAMES[member]].height for member in ground.members]) / METRES
    shape = 1 + 0.4 * np.clip(ground.textures, -2, 2)
    return np.asarray((ground.abundance * shape * tall[:, None, None]).sum(0))


def _rays(pitch: float, spread: float) -> tuple[Float, Float, Float]:
    """Tell where each pixel's ray meets the ground, for a camera at height one that looks ahead.

    Gives how far ahead, how far aside and how far away, each [64, 64]; rays that rise above the
    horizon end very far away.
    """
    v, u = np.meshgrid(*[np.linspace(-spread, spread, SIZE)] * 2, indexing="ij")
    sinks = np.sin(pitch) + v * np.cos(pitch)
    scale = 1 / np.maximum(sinks, 0.01)
    return scale * (np.cos(pitch) - v * np.sin(pitch)), scale * u, scale


def video(rng: np.random.Generator, ground: Ground) -> NDArray[np.uint8]:
    """Frames [5, 3, 64, 64] of a camera that drifts, turns and climbs slowly over the ground.

    All frames are stretched alike, as a quick look is; the exposure flickers.
    """
    visible = optical(rng, ground)[VISIBLE]
    time = np.arange(FRAMES)[:, None, None] - FRAMES // 2
    speed, turn, climb = rng.uniform(-1.6, 1.6, 2), rng.normal(0, 0.015), rng.normal(0, 0.01)
    middle = (SIZE - 1) / 2
    y, x = np.mgrid[:SIZE, :SIZE] - middle
    zoom, angle = np.exp(climb * time), turn * time
    down = zoom * (np.cos(angle) * y - np.sin(angle) * x) + speed[0] * time
    across = zoom * (np.sin(angle) * y + np.cos(angle) * x) + speed[1] * time
    frames = sample(visible, down + middle, across + middle).swapaxes(0, 1)
    flicker = np.exp(rng.normal(0, 0.04, (FRAMES, 1, 1, 1)))
    return quick_look(rng, frames * flicker)


def sample(field: Float, y: Float, x: Float) -> Float:
    """Sample [bands, 64, 64] at positions in cells, bilinearly: [bands, *y.shape].

    Beyond its edges the field goes on as its own reflection.
    """
    top, left = np.floor(y), np.floor(x)
    down, across = y - top, x - left
    rows = [_reflected(top.astype(int) + step) * SIZE for step in (0, 1)]
    columns = [_reflected(left.astype(int) + step) for step in (0, 1)]
    flat = field.reshape(len(field), -1)
    upper, lower = (
        flat.take(row + columns[0], 1) * (1 - across) + flat.take(row + columns[1], 1) * across
        for row in rows
    )
    return np.asarray(upper * (1 - down) + lower * down)


def _reflected(index: NDArray[np.int64]) -> NDArray[np.int64]:
    folded = index % (2 * SIZE - 2)
    return np.minimum(folded, 2 * SIZE - 2 - folded)
