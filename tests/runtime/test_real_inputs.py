"""Real point clouds and trajectories, read and run through the small bundle."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime import PointFile, Spark, TrackFile, load

DATA = Path(__file__).parents[3] / "shared" / "data"
CLOUDS = ("simple.las", "autzen_trim.laz")
real = pytest.mark.skipif(not DATA.is_dir(), reason="no real files at ../shared/data")


@pytest.fixture(scope="module")
def spark(tiny: Path) -> Spark:
    return load(tiny)


@real
@pytest.mark.parametrize("name", CLOUDS)
def test_a_real_point_cloud_is_read_and_answered(name: str, spark: Spark) -> None:
    pytest.importorskip("laspy")
    path = DATA / "pointclouds" / name
    scores = spark.classify(point_cloud=path)
    assert sum(scores.values()) == pytest.approx(1)
    assert spark.generate("What is in this scene?", point_cloud=path)


@real
def test_a_part_of_a_real_point_cloud_is_read_alone(spark: Spark) -> None:
    laspy = pytest.importorskip("laspy")
    path = DATA / "pointclouds" / "autzen_trim.laz"
    with laspy.open(path) as file:
        (left, low, _), (right, high, _) = file.header.mins, file.header.maxs
    middle = (left + right) / 2, (low + high) / 2
    part = PointFile(path, bounds=(left, low, *middle))
    whole, corner = (spark.embed(point_cloud=each) for each in (path, part))
    assert whole.shape == corner.shape
    assert not np.allclose(whole, corner)


@real
def test_a_real_walk_is_forecast_better_than_by_standing_still(spark: Spark) -> None:
    path = DATA / "trajectories" / "biwi_eth.txt"
    rows = np.loadtxt(path)
    walks = [rows[rows[:, 1] == agent] for agent in (2, 3, 11, 12)]
    errors = []
    for walk in walks:
        now, future = walk[7], walk[8:20, 2:]
        told = spark.predict(trajectory=TrackFile(path, agent=str(int(now[1])), at=now[0], fps=25))
        assert told.shape == (12, 2)
        assert np.abs(told - now[2:]).max() < 30  # metres, in the recording's own frame
        distance = np.linalg.norm(told[: len(future)] - future, axis=1).mean()
        errors.append(distance / np.linalg.norm(now[2:] - future, axis=1).mean())
    assert np.mean(errors) < 1
