"""Modalities of several arrays, or of none but cells: how they reach their encoder and are kept."""

from dataclasses import replace

import numpy as np
import pytest

from edgespark.runtime import InputError, Spark
from tests.runtime.kinds import POINTS, TABLE, TRACK, VALUES
from tests.runtime.stand_in import FUNCTIONS, LABELS, WIDTH, StandIn, bridge
from tests.runtime.stand_in_parts import FORECAST, encode_points


@pytest.fixture
def spark(stand_in: StandIn) -> Spark:
    return stand_in.spark()


def test_a_forecast_is_told_from_where_the_track_ended(stand_in: StandIn) -> None:
    made = stand_in.spark().predict(trajectory=TRACK)
    ((given, _),) = stand_in.sessions["walk"].calls
    scores = FUNCTIONS["walk"](given)["scores"][0, 0].reshape(FORECAST)
    last, step = TRACK[0, -1], TRACK[0, -1] - TRACK[0, -2]
    ahead = last + np.arange(1, 4)[:, None] * step
    assert made.dtype == np.float64
    np.testing.assert_allclose(made, ahead + 0.5 * scores, rtol=1e-6)


def test_the_same_track_elsewhere_is_kept_and_its_forecast_moves_with_it(
    stand_in: StandIn,
) -> None:
    spark, far = stand_in.spark(), np.array([2.0**19, 2.0**22])
    track = np.round(TRACK * 64) / 64  # so that no digit is lost far away
    here = spark.predict(trajectory=track)
    there = spark.predict(trajectory=track + far)
    assert spark.stats.cached == ("trajectory",)
    np.testing.assert_allclose(there - far, here, rtol=0, atol=1e-8)
    assert len(stand_in.sessions["encoder_trajectory"].calls) == 1


def test_what_was_prepared_once_gives_the_same_forecast(spark: Spark) -> None:
    ready = spark.prepare(trajectory=TRACK)
    assert (spark.predict(**ready) == spark.predict(trajectory=TRACK)).all()
    with pytest.raises(InputError, match="has no anchor"):
        spark.predict(trajectory=replace(ready["trajectory"], anchor=None))


def test_each_array_reaches_the_port_that_its_wire_names(stand_in: StandIn) -> None:
    spark, cloud = stand_in.spark(), VALUES["points"]
    made = spark.embed(point_cloud=cloud)
    ((given, _),) = stand_in.sessions["encoder_point_cloud"].calls
    ready = spark.prepare(point_cloud=cloud)["point_cloud"].arrays
    assert list(given) == ["neighbourhoods", "centres"]
    assert all((given[name] == ready[name]).all() for name in given)
    tokens = encode_points(given)["tokens"]
    np.testing.assert_allclose(made, bridge({"media": tokens})["tokens"][0], rtol=1e-6)


@pytest.mark.parametrize("name", ["track", "neighbours", "present"])
def test_inputs_that_differ_in_one_of_their_arrays_are_run_apart(
    stand_in: StandIn, name: str
) -> None:
    spark = stand_in.spark()
    ready = spark.prepare(trajectory=TRACK)["trajectory"]
    spark.embed(trajectory=ready)
    other = {**ready.arrays, name: np.zeros_like(ready.arrays[name])}
    spark.embed(trajectory=replace(ready, arrays=other))
    assert spark.stats.cached == ()
    spark.embed(trajectory=replace(ready, arrays=dict(reversed(ready.arrays.items()))))
    assert spark.stats.cached == ("trajectory",)


def test_cells_and_points_are_asked_about_like_any_other_modality(spark: Spark) -> None:
    table = VALUES["table"]
    both = spark.embed(table=table, point_cloud=VALUES["points"])
    assert both.shape == (TABLE.rows + POINTS.groups, WIDTH)
    assert spark.generate("?", table=table, point_cloud=VALUES["points"], max_tokens=4)
    assert spark.stats.valid == {"table": 0.75, "point_cloud": 1.0}
    assert set(spark.classify(point_cloud=VALUES["points"])) == set(LABELS)
