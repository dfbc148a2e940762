"""One patch of ground as satellites see it: quick look, multispectral and radar."""

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import COVERS
from edgespark.export.worlds.ground import SIZE, Float, Ground

LOOKS = 3
CELLS = (4, 1, 1, 1, 2, 2, 2, 1, 2, 4, 2, 2)  # pixels a side of one cell, for each of SENTINEL_2
VISIBLE = [3, 2, 1]  # red, green and blue in SENTINEL_2


def optical(rng: np.random.Generator, ground: Ground) -> Float:
    """Reflectance [12, 64, 64]: covers vary from scene to scene, light and haze vary over all."""
    spectra = np.array([COVERS[member].reflectance for member in ground.members])
    bands = np.arange(spectra.shape[1])
    for member, spectrum in enumerate(spectra):  # the season tilts, bends and dims a spectrum
        tilt, bend = rng.normal(0, 0.09, 2)
        bent = tilt * (bands - 5.5) / 5.5 + bend * np.cos(bands * np.pi / 11)
        spectra[member] = spectrum * np.exp(
            rng.normal(0, 0.13) + bent + rng.normal(0, 0.03, len(bands))
        )
    reflected = np.einsum("myx,mb->byx", shaded(rng, ground), spectra)
    haze = rng.exponential(0.005) * np.exp(-bands / 3.0)
    light = np.exp(rng.normal(0, 0.08))
    return np.asarray(reflected * light + haze[:, None, None])


def shaded(rng: np.random.Generator, ground: Ground) -> Float:
    """Brightness of each member [members, 64, 64]: its abundance, shaded by its texture."""
    return ground.abundance * np.exp(ground.contrast * ground.textures * rng.uniform(0.5, 1.1))


def quick_look(rng: np.random.Generator, visible: Float) -> NDArray[np.uint8]:
    """Stretch reflectance [..., 3, 64, 64] to 8 bits, as viewers do, under the sensor's noise.

    All images of a stack are stretched alike, between black and their bright percentiles.
    """
    noisy = visible + rng.normal(0, 0.004, visible.shape)
    white = max(0.12, float(np.percentile(noisy, 98))) * rng.uniform(0.9, 1.4)
    tint = np.exp(rng.normal(0, 0.03, (3, 1, 1)))
    return np.clip(255 * noisy * tint / white, 0, 255).astype(np.uint8)


def multispectral(rng: np.random.Generator, reflected: Float) -> NDArray[np.int16]:
    """Reflectance x 10000 as a satellite product has it.

    Bands of 20 and 60 m come in larger cells, and the atmosphere is never quite corrected: every
    band is off by its own factor.
    """
    gains = np.exp(rng.normal(0, 0.13, len(reflected)))
    seen = np.stack([blocky(band, side) for band, side in zip(reflected, CELLS, strict=True)])
    noisy = seen * gains[:, None, None] + rng.normal(0, 0.008, reflected.shape)
    return np.asarray(np.clip(noisy * 10000, 1, 16000), np.int16)


def blocky(band: Float, side: int) -> Float:
    """Average a band [64, 64] over cells of `side` pixels and spread each over its cell."""
    cells = band.reshape(SIZE // side, side, SIZE // side, side).mean((1, 3))
    return np.asarray(np.kron(cells, np.ones((side, side))))


def radar(rng: np.random.Generator, ground: Ground) -> NDArray[np.float32]:
    """Backscatter in dB [2, 64, 64] under speckle (gamma, LOOKS looks), levels vary by scene."""
    levels = np.array([COVERS[member].backscatter for member in ground.members])
    levels = levels + rng.normal(0, 0.85, (len(levels), 1)) + rng.normal(0, 0.4, levels.shape)
    decibels = levels[:, :, None, None] + (6 * ground.contrast * ground.textures)[:, None]
    power = (ground.abundance[:, None] * 10 ** (decibels / 10)).sum(0)
    speckle = rng.gamma(LOOKS, 1 / LOOKS, power.shape)
    return np.asarray(np.maximum(10 * np.log10(power * speckle), -40), np.float32)
