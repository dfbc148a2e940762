"""Synthetic field surveys: a patch of ground as a table of sample plots."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import Float, Ground
from edgespark.runtime.preprocessing import Column, Table

SOILS = ("clay", "sand", "peat", "gravel", "loam", "sealed", "none")
PLANTS = ("none", "herbs", "grasses", "rushes", "shrubs", "broadleaves", "needles")
TABLE = Table(
    columns=(
        Column(
            name="canopy_height_m",
            type="number",
            edges=(0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.8, 2.5, 3.5, 5, 8, 12, 17),
        ),
        Column(
            name="canopy_cover_pct",
            type="number",
            edges=(2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 97),
        ),
        Column(
            name="soil_moisture_pct",
            type="number",
            edges=(5, 10, 15, 20, 25, 30, 40, 50, 65, 80, 95),
        ),
        Column(
            name="slope_deg",
            type="number",
            edges=(0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 18),
        ),
        Column(
            name="stem_count",
            type="number",
            edges=(1, 2, 3, 4, 6, 8, 11, 15, 20, 30),
        ),
        Column(name="soil", type="category", values=SOILS),
        Column(name="plant", type="category", values=PLANTS),
    ),
    rows=8,
)
EMPTY = 0.05  # share of cells that nobody filled in
LOG = np.array([True, False, False, True, True])  # numbers that vary by a factor, not by a sum
LOW = np.array([0.0, 0, 0, 0, 0])
HIGH = np.array([45.0, 100, 100, 60, 400])
DIGITS = (1, 0, 0, 1, 0)
SITE = 0.75  # of a number's spread, how much a patch's plots share (the rest is their own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stock:
    """What plots in one cover are like.

    `numbers`: for each numeric column (height m, cover %, moisture %, slope degrees, stems) its
    median and its spread, as a share of LOG columns. `soils` and `plants` weigh the categories.
    """

    numbers: tuple[tuple[float, float], ...]
    soils: tuple[int, ...]
    plants: tuple[int, ...]


STOCKS = {
    "water": Stock(
        numbers=((0.1, 0.9), (5, 8), (98, 6), (0.3, 0.6), (0.15, 0.8)),
        soils=(1, 2, 1, 1, 0, 0, 7), plants=(6, 2, 0, 3, 0, 0, 0),
    ),
    "broadleaf forest": Stock(
        numbers=((14, 0.3), (80, 14), (34, 10), (5.5, 0.6), (8, 0.45)),
        soils=(3, 1, 1, 1, 5, 0, 0), plants=(0, 1, 0, 0, 2, 6, 2),
    ),
    "conifer forest": Stock(
        numbers=((17, 0.3), (73, 14), (28, 10), (8, 0.6), (11, 0.45)),
        soils=(1, 4, 1, 3, 2, 0, 0), plants=(1, 0, 0, 0, 2, 2, 6),
    ),
    "grassland": Stock(
        numbers=((0.25, 0.6), (88, 12), (30, 10), (4, 0.7), (0.3, 0.8)),
        soils=(3, 2, 1, 1, 4, 0, 0), plants=(0, 4, 6, 1, 1, 0, 0),
    ),
    "cropland": Stock(
        numbers=((0.7, 0.55), (62, 18), (25, 9), (1.6, 0.6), (0.3, 0.8)),
        soils=(3, 1, 0, 0, 6, 0, 0), plants=(2, 3, 6, 0, 0, 0, 0),
    ),
    "orchard": Stock(
        numbers=((3.2, 0.25), (42, 12), (24, 8), (2.5, 0.6), (5, 0.4)),
        soils=(3, 2, 0, 1, 5, 0, 0), plants=(0, 1, 3, 0, 1, 6, 0),
    ),
    "wetland": Stock(
        numbers=((1.1, 0.6), (58, 20), (82, 12), (0.5, 0.7), (0.4, 0.9)),
        soils=(3, 1, 6, 0, 1, 0, 1), plants=(1, 2, 2, 6, 1, 0, 0),
    ),
    "shrubland": Stock(
        numbers=((1.2, 0.5), (48, 16), (14, 7), (6, 0.7), (2, 0.8)),
        soils=(1, 4, 0, 4, 2, 0, 0), plants=(1, 2, 2, 0, 6, 1, 1),
    ),
    "built-up area": Stock(
        numbers=((2.5, 0.9), (14, 12), (12, 7), (1.5, 0.7), (1.0, 0.9)),
        soils=(0, 1, 0, 2, 1, 6, 0), plants=(5, 1, 3, 0, 1, 2, 1),
    ),
    "bare ground": Stock(
        numbers=((0.15, 0.8), (8, 8), (9, 6), (6, 0.9), (0.2, 0.8)),
        soils=(2, 4, 0, 5, 0, 1, 0), plants=(6, 2, 2, 0, 1, 0, 0),
    ),
}  # fmt: skip


def plots(rng: np.random.Generator, ground: Ground) -> NDArray[np.str_]:
    """Survey the ground at eight plots: TABLE's columns [8, 7], as text; "" where not filled in.

    Plots are laid out as stratified surveys do: each cover gets them in proportion to its area.
    """
    chosen = _strata(rng, ground.abundance.argmax(0).ravel())
    stocks = [STOCKS[NAMES[member]] for member in ground.members]
    numbers = np.stack([_numbers(rng, stock) for stock in stocks])[chosen, np.arange(TABLE.rows)]
    texts = [
        [f"{number:.{digits}f}" for number, digits in zip(row, DIGITS, strict=True)]
        for row in numbers
    ]
    soils = _categories(rng, SOILS, [stocks[index].soils for index in chosen])
    plants = _categories(rng, PLANTS, [stocks[index].plants for index in chosen])
    table = np.column_stack([np.array(texts), soils, plants])
    table[rng.random(table.shape) < EMPTY] = ""
    return table


def _strata(rng: np.random.Generator, cover: NDArray[np.int64]) -> NDArray[np.int64]:
    every = len(cover) / TABLE.rows
    places = (np.arange(TABLE.rows) + rng.random()) * every
    return rng.permutation(np.sort(cover)[places.astype(int)])


def _numbers(rng: np.random.Generator, stock: Stock) -> Float:
    median, spread = np.array(stock.numbers).T
    site = rng.normal(size=len(median))
    own = rng.normal(size=(TABLE.rows, len(median)))
    off = spread * (SITE * site + np.sqrt(1 - SITE**2) * own)
    varied = np.where(LOG, median * np.exp(np.where(LOG, off, 0)), median + off)
    return np.asarray(np.clip(varied, LOW, HIGH))


def _categories(
    rng: np.random.Generator, values: tuple[str, ...], weights: list[tuple[int, ...]]
) -> NDArray[np.str_]:
    total = np.cumsum(weights, axis=1)
    drawn = rng.random(len(weights)) * total[:, -1]
    return np.asarray(np.array(values)[(total <= drawn[:, None]).sum(1)])
