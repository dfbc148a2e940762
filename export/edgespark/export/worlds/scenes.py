"""Synthetic scenes: one patch of ground as optical, multispectral and radar sensors see it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import COVERS, NAMES, Pattern

SIZE = 64
METRES = 10.0
LOOKS = 3
CELLS = (4, 1, 1, 1, 2, 2, 2, 1, 2, 4, 2, 2)  # pixels a side of one cell, for each of SENTINEL_2
CONFUSABLE = 0.5  # how often the second cover is one that the first is easily taken for
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One scene, co-registered over its sensors, with the covers it was made of.

    rgb: uint8 [3, 64, 64], contrast-stretched as quick-look images are. msi: int16 [12, 64, 64],
    reflectance x 10000. sar: float32 [2, 64, 64], VV and VH in dB. `shares` holds the area share of
    every cover; the label is the index of the largest.
    """

    rgb: NDArray[np.uint8]
    msi: NDArray[np.int16]
    sar: NDArray[np.float32]
    shares: NDArray[np.float64]

    @property
    def label(self) -> int:
        """Index of the cover with the largest share."""
        return int(self.shares.argmax())


def scene(stream: int, index: int) -> Scene:
    """Make scene number `index` of a stream; a pure function of both. Streams never overlap."""
    rng = np.random.Generator(np.random.Philox(key=np.array([stream, index], np.uint64)))
    members = choose(rng)
    abundance = layout(rng, len(members))
    shares = np.zeros(len(COVERS))
    np.add.at(shares, members, abundance.mean((1, 2)))
    textures = np.stack([texture(rng, COVERS[member].pattern) for member in members])
    reflected = optical(rng, members, abundance, textures)
    return Scene(
        rgb=quick_look(rng, reflected),
        msi=multispectral(rng, reflected),
        sar=radar(rng, members, abundance, textures),
        shares=shares,
    )


def choose(rng: np.random.Generator) -> list[int]:
    """Choose a main cover and two others; the second is often one it is easily taken for."""
    main = int(rng.integers(len(COVERS)))
    near = [NAMES.index(name) for name in COVERS[main].near]
    others = [index for index in range(len(COVERS)) if index != main]
    second = int(rng.choice(near if rng.random() < CONFUSABLE else others))
    third = int(rng.choice([index for index in others if index != second]))
    return [main, second, third]


def layout(rng: np.random.Generator, members: int) -> Float:
    """Divide the ground among the members: abundances [members, 64, 64] that sum to one.

    Patches come from thresholded smooth noise; their seams are a pixel or two wide (mixed pixels).
    """
    main = rng.uniform(0.55, 0.92)
    wanted = np.array([main, (1 - main) * rng.uniform(0.6, 1.0)])
    wanted = np.append(wanted, 1 - wanted.sum())[:members]
    fields = np.stack([smooth(rng, int(rng.integers(3, 8))) for _ in range(members)])
    bias = np.log(np.maximum(wanted, 1e-3))
    for _ in range(12):  # shift the fields until the shares are the wanted ones
        logits = (fields * 1.5 + bias[:, None, None]) * 5
        abundance = np.exp(logits - logits.max(0))
        abundance /= abundance.sum(0)
        bias += 0.6 * np.log(np.maximum(wanted, 1e-3) / np.maximum(abundance.mean((1, 2)), 1e-3))
    return np.asarray(abundance)


def smooth(rng: np.random.Generator, cells: int) -> Float:
    """Make smooth noise [64, 64] of mean 0 and variance 1 with about `cells` bumps a side."""
    grid = rng.normal(size=(cells + 1, cells + 1))
    at = np.linspace(0, cells, SIZE)
    low = np.minimum(at.astype(int), cells - 1)
    part = at - low
    weight = np.zeros((SIZE, cells + 1))
    part = part * part * (3 - 2 * part)
    weight[np.arange(SIZE), low], weight[np.arange(SIZE), low + 1] = 1 - part, part
    field = weight @ grid @ weight.T
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))


def texture(rng: np.random.Generator, pattern: Pattern) -> Float:
    """Make a texture [64, 64] of mean 0 and variance about 1."""
    return TEXTURES[pattern](rng)


def _fine(rng: np.random.Generator) -> Float:
    noise = rng.normal(size=(SIZE, SIZE))
    return noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)


def _rough(rng: np.random.Generator) -> Float:
    return 0.45 * _fine(rng) + 0.6 * smooth(rng, 16)


def _even(rng: np.random.Generator) -> Float:
    return smooth(rng, 6) * 0.8 + 0.15 * _fine(rng)


def _rows(rng: np.random.Generator) -> Float:
    angle, period = rng.uniform(0, np.pi), rng.uniform(3.5, 7)
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 6))
    return np.asarray(wave + 0.25 * _fine(rng))


def _spots(rng: np.random.Generator) -> Float:
    period, shift = rng.uniform(4, 7), rng.uniform(0, 6, 2)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.6 * np.stack([smooth(rng, 8), smooth(rng, 8)])
    waves = np.sin(2 * np.pi * x / period + shift[0]) * np.sin(2 * np.pi * y / period + shift[1])
    return np.asarray(1.6 * waves + 0.3 * _fine(rng))


def _blocks(rng: np.random.Generator) -> Float:
    side = int(rng.integers(3, 6))
    cells = rng.normal(size=(SIZE // side + 1, SIZE // side + 1))
    return np.kron(cells, np.ones((side, side)))[:SIZE, :SIZE] + 0.2 * _fine(rng)


TEXTURES = {
    "smooth": _even,
    "rough": _rough,
    "rows": _rows,
    "spots": _spots,
    "blocks": _blocks,
}


def optical(
    rng: np.random.Generator, members: list[int], abundance: Float, textures: Float
) -> Float:
    """Reflectance [12, 64, 64]: covers vary from scene to scene, light and haze vary over all."""
    spectra = np.array([COVERS[member].reflectance for member in members])
    bands = np.arange(spectra.shape[1])
    for member, spectrum in enumerate(spectra):  # the season tilts, bends and dims a spectrum
        tilt, bend = rng.normal(0, 0.09, 2)
        bent = tilt * (bands - 5.5) / 5.5 + bend * np.cos(bands * np.pi / 11)
        spectra[member] = spectrum * np.exp(
            rng.normal(0, 0.13) + bent + rng.normal(0, 0.03, len(bands))
        )
    contrast = np.array([COVERS[member].contrast for member in members])
    shaded = abundance * np.exp(contrast[:, None, None] * textures * rng.uniform(0.5, 1.1))
    reflected = np.einsum("myx,mb->byx", shaded, spectra)
    haze = rng.exponential(0.005) * np.exp(-bands / 3.0)
    light = np.exp(rng.normal(0, 0.08))
    return np.asarray(reflected * light + haze[:, None, None])


def quick_look(rng: np.random.Generator, reflected: Float) -> NDArray[np.uint8]:
    """Stretch red, green and blue to 8 bits between dark and bright percentiles, as viewers do."""
    visible = reflected[[3, 2, 1]] + rng.normal(0, 0.004, (3, SIZE, SIZE))
    white = max(0.12, float(np.percentile(visible, 98))) * rng.uniform(0.9, 1.4)
    tint = np.exp(rng.normal(0, 0.03, (3, 1, 1)))
    return np.clip(255 * visible * tint / white, 0, 255).astype(np.uint8)


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


def radar(
    rng: np.random.Generator, members: list[int], abundance: Float, textures: Float
) -> NDArray[np.float32]:
    """Backscatter in dB [2, 64, 64] under speckle (gamma, LOOKS looks), levels vary by scene."""
    levels = np.array([COVERS[member].backscatter for member in members])
    levels = levels + rng.normal(0, 0.85, (len(members), 1)) + rng.normal(0, 0.4, levels.shape)
    contrast = np.array([COVERS[member].contrast for member in members])
    decibels = levels[:, :, None, None] + (6 * contrast[:, None, None] * textures)[:, None]
    power = (abundance[:, None] * 10 ** (decibels / 10)).sum(0)
    speckle = rng.gamma(LOOKS, 1 / LOOKS, power.shape)
    return np.asarray(np.maximum(10 * np.log10(power * speckle), -40), np.float32)
