"""Metrics of forecasts: what they are on paper, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime.manifest import Metric
from edgespark.runtime.metrics import METRICS, forecast_tasks

TARGET = np.zeros((3, 2))
PREDICTION = np.array([[3.0, 4.0], [0.0, 1.0], [-5.0, 12.0]])


@pytest.mark.parametrize(("metric", "wanted"), [("ADE", 19 / 3), ("FDE", 13.0), ("MAE", 25 / 6)])
def test_metrics_are_what_they_are_on_paper(metric: Metric, wanted: float) -> None:
    assert METRICS[metric](PREDICTION, TARGET) == pytest.approx(wanted)
    assert METRICS[metric](TARGET, PREDICTION) == pytest.approx(wanted)


@pytest.mark.parametrize("metric", METRICS)
@given(steps=st.integers(1, 9), seed=st.integers(0, 99), shift=st.floats(-1e6, 1e6))
def test_only_the_difference_counts(metric: Metric, steps: int, seed: int, shift: float) -> None:
    draw = np.random.default_rng(seed)
    prediction, target = draw.normal(size=(2, steps, 2))
    error = METRICS[metric](prediction, target)
    assert METRICS[metric](prediction + shift, target + shift) == pytest.approx(error, abs=1e-8)
    assert METRICS[metric](3 * prediction, 3 * target) == pytest.approx(3 * error)
    assert METRICS[metric](target, target) == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_far_from_the_origin_float32_targets_are_compared_in_float64(metric: Metric) -> None:
    target = np.full((2, 2), 5_500_000, np.float32)  # a northing, in metres
    away = np.array([0.0, 0.1])
    wanted = 0.05 if metric == "MAE" else 0.1
    assert METRICS[metric](target + away, target) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_arrays_of_two_shapes_are_never_spread(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"a forecast \(3, 2\) is no \(1, 2\)"):
        METRICS[metric](PREDICTION, TARGET[:1])


def test_a_forecast_is_named_by_all_but_its_first_metric() -> None:
    assert forecast_tasks(()) == ()
    assert forecast_tasks(["MAE"]) == ("forecast",)
    assert forecast_tasks(("ADE", "FDE")) == ("forecast", "forecast_fde")
