"""Point clouds hang over the ground they were made of, and look like its covers."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.export.worlds.clouds import CLOUD, COVERINGS, cloud
from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import SIZE, Ground, ground


def ground_of(*names: str) -> Ground:
    """Lay the first cover over the west half, the second (or the same) over the rest."""
    abundance = np.zeros((len(names), SIZE, SIZE))
    abundance[0, :, : SIZE // 2] = 1
    abundance[-1, :, SIZE // 2 :] = 1
    members = tuple(NAMES.index(name) for name in names)
    textures = np.random.default_rng(0).normal(size=abundance.shape)
    shares = np.zeros(len(NAMES))
    np.add.at(shares, list(members), abundance.mean((1, 2)))
    return dataclasses.replace(
        ground(1, 1), members=members, abundance=abundance, textures=textures, shares=shares
    )


def scans(*names: str) -> NDArray[np.float32]:
    place = ground_of(*names)
    return np.stack([cloud(np.random.default_rng(seed), place) for seed in range(12)])


def rise(name: str) -> float:
    """Give the highest point above the median of the lowest points, over some scans."""
    heights = scans(name)[..., 2]
    return float(np.median(heights.max(1) - np.percentile(heights, 5, axis=1)))


def test_every_cover_has_its_returns() -> None:
    assert set(COVERINGS) == set(NAMES)


def test_a_cloud_is_a_pure_function_of_the_generator() -> None:
    place = ground(2, 3)
    first, second, other = (cloud(np.random.default_rng(seed), place) for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_clouds_have_the_records_size_and_cover_the_patch() -> None:
    for index in range(30):
        made = cloud(np.random.default_rng(index), ground(3, index))
        assert made.shape == (CLOUD.count, 3)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        assert made[:, :2].min() >= 0
        assert made[:, :2].max() <= SIZE
        assert np.ptp(made[:, :2], axis=0).min() > 0.9 * SIZE
        assert np.ptp(made[:, 2]) < 45


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("water", 0.0, 0.3),
        ("grassland", 0.2, 6.0),
        ("wetland", 0.7, 3.5),
        ("shrubland", 0.7, 6.0),
        ("orchard", 2.0, 8.0),
        ("broadleaf forest", 9.0, 26.0),
        ("conifer forest", 10.0, 36.0),
        ("built-up area", 4.0, 16.0),
    ],
)
def test_covers_rise_as_high_as_they_grow(name: str, low: float, high: float) -> None:
    assert low < rise(name) < high


def test_water_gives_fewer_returns_than_the_land_beside_it() -> None:
    made = scans("water", "grassland")
    west = (made[..., 0] < SIZE / 2).mean()
    assert 0.2 < west < 0.4


def test_the_ground_is_seen_below_the_trees() -> None:
    heights = scans("broadleaf forest")[..., 2]
    above = heights - heights.min(1, keepdims=True)
    assert (above < 4).mean(1).min() > 0.05
    assert (above > 6).mean(1).min() > 0.3
