"""The ground of a synthetic scene: which covers lie where, and their textures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import COVERS, NAMES, Pattern

SIZE = 64
METRES = 10.0
CONFUSABLE = 0.5  # how often the second cover is one that the first is easily taken for
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """One patch of ground, 64 x 64 cells of METRES a side.

    `members`: indices into COVERS of the covers it is made of, the main one first. `abundance`:
    [members, 64, 64], each member's share of each cell; they sum to one. `textures`: [members, 64,
    64], of mean 0 and variance about 1. `shares`: [covers], the area share of every cover.
    """

    members: tuple[int, ...]
    abundance: Float
    textures: Float
    shares: Float

    @property
    def label(self) -> int:
        """Index of the cover with the largest share."""
        return int(self.shares.argmax())

    @property
    def contrast(self) -> Float:
        """How strong each member's texture is: [members, 1, 1]."""
        return np.array([COVERS[member].contrast for member in self.members])[:, None, None]


def draws(stream: int, index: int) -> np.random.Generator:
    """Give the generator of sample `index` of a stream. Streams never overlap."""
    return np.random.Generator(np.random.Philox(key=np.array([stream, index], np.uint64)))


def ground(stream: int, index: int) -> Ground:
    """Lay the ground of scene number `index` of a stream; a pure function of both."""
    return lay(draws(stream, index))


def lay(rng: np.random.Generator) -> Ground:
    """Lay some ground; what its three oldest views draw comes next from the same generator."""
    members = choose(rng)
    abundance = layout(rng, len(members))
    shares = np.zeros(len(COVERS))
    np.add.at(shares, members, abundance.mean((1, 2)))
    textures = np.stack([texture(rng, COVERS[member].pattern) for member in members])
    return Ground(members=tuple(members), abundance=abundance, textures=textures, shares=shares)


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
