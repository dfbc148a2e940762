"""Time series in memory: what a forecaster is given, and what is refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.errors import InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.series.prepare import prepare_series
from edgespark.runtime.series.read import read_series

NODES = ("a", "b", "c")
RECORD = Series(
    nodes=NODES,
    steps=4,
    predicted=5,
    interval=300.0,
    mean=100.0,
    std=20.0,
    unit="vehicles/h",
)


def made(value: object, record: Series = RECORD) -> Prepared:
    return read_series(record, value, lambda _: [])


def flows() -> NDArray[np.float64]:
    """Return four steps from 23:50 on a Sunday on."""
    series = np.zeros((4, 3, 3))
    series[..., 0] = 100 + 10 * np.arange(12).reshape(4, 3)
    series[..., 1] = (np.array([286, 287, 0, 1]) / 288)[:, None]
    series[..., 2] = np.array([6, 6, 0, 0])[:, None]
    return series


def test_values_are_scaled_and_times_are_not() -> None:
    series = made(flows()).arrays["series"]
    assert series.shape == (1, 4, 3, 3)
    assert series.dtype == np.float32
    np.testing.assert_allclose(series[0, ..., 0], np.arange(12).reshape(4, 3) * 0.5, atol=1e-6)
    np.testing.assert_array_equal(series[0, ..., 1:], flows()[..., 1:].astype(np.float32))


def test_the_anchor_repeats_the_last_value_of_each_node() -> None:
    anchor = made(flows()).anchor
    assert anchor is not None
    assert anchor.dtype == np.float64
    np.testing.assert_array_equal(anchor, [[190, 200, 210]] * 5)


def test_the_input_is_left_as_it_is() -> None:
    given = flows()
    made(given)
    np.testing.assert_array_equal(given, flows())


def test_the_last_moment_of_a_day_is_not_rounded_to_the_next() -> None:
    series = flows()
    series[..., 1] = np.nextafter(1.0, 0.0)
    assert made(series).arrays["series"][..., 1].max() < 1


def test_a_masked_value_is_missing() -> None:
    series = np.ma.MaskedArray(flows(), mask=False)
    series[2, 1, 0] = np.ma.masked
    with pytest.raises(InputError, match="node 'b' has the value nan at step 2"):
        made(series)


def changed(place: tuple[Any, ...], value: float) -> NDArray[np.float64]:
    series = flows()
    series[place] = value
    return series


STATIC = r"the graph is static: the model was exported for 3 nodes \(a, b, c\)"
REFUSED: dict[str, tuple[object, str]] = {
    "more nodes": (np.zeros((4, 5, 3)), "has 5 nodes; " + STATIC),
    "fewer nodes": (np.zeros((4, 2, 3)), "has 2 nodes; " + STATIC),
    "short": (flows()[1:], "has 3 steps; the model was made for 4, 300 s apart"),
    "values alone": (flows()[..., 0], r"has shape \(4, 3\); expected \[4, 3, 3\]: value, time"),
    "two channels": (flows()[..., :2], r"has shape \(4, 3, 2\)"),
    "batch": (flows()[None], r"has shape \(1, 4, 3, 3\)"),
    "text": (flows().astype(str), "holds str.*; expected numbers"),
    "list": ([1.0], "expected an array .*, a path or a SeriesFile, got list"),
    "nan": (changed((2, 1, 0), np.nan), "node 'b' has the value nan at step 2"),
    "infinite": (changed((0, 0, 0), np.inf), "node 'a' has the value inf at step 0"),
    "fill": (changed((0, 2, 0), -3.4e38), "node 'c' .* at step 0.*; expected .* vehicles/h"),
    "hours": (changed((1, 0, 1), 23.5), "time of day is 23.5 at step 1; .*since midnight / 86400"),
    "midnight": (changed((1, 0, 1), 1.0), "time of day is 1 at step 1"),
    "before": (changed((1, 0, 1), -0.1), "time of day is -0.1 at step 1"),
    "no time": (changed((1, 0, 1), np.nan), "time of day is nan at step 1"),
    "eighth day": (changed((3, 2, 2), 7), "day of week is 7 at step 3; .* 0 for Monday"),
    "half a day": (changed((3, 2, 2), 0.5), "day of week is 0.5 at step 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_time_series_is_refused(name: str) -> None:
    value, told = REFUSED[name]
    with pytest.raises(InputError, match=told):
        made(value)


def test_many_nodes_are_not_all_listed() -> None:
    record = Series(
        nodes=tuple(f"n{i}" for i in range(40)),
        steps=1,
        predicted=1,
        interval=60.0,
        mean=0.0,
        std=1.0,
        unit="",
    )
    with pytest.raises(InputError, match="n10, n11 and 28 more"):
        prepare_series(record, np.zeros((1, 2, 3)))
