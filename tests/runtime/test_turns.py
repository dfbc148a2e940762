"""One call at a time: streams, threads, and who has to wait."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime import DeviceError, Spark, UsageError
from tests.runtime.stand_in import StandIn

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
Array = NDArray[Any]


@pytest.fixture
def spark(stand_in: StandIn) -> Spark:
    return stand_in.spark()


def test_another_call_during_an_unfinished_stream_is_refused_and_works_after(
    spark: Spark,
) -> None:
    before = spark.generate("hi", rgb=RGB, max_tokens=8)
    stream = spark.generate("hi", rgb=RGB, max_tokens=8, stream=True)
    first = next(stream)
    for call in (lambda: spark.classify(rgb=RGB), lambda: spark.drop()):
        with pytest.raises(UsageError, match="unfinished"):
            call()
    assert first + "".join(stream) == before
    assert spark.classify(rgb=RGB)


def test_a_stream_that_is_closed_left_or_forgotten_frees_the_spark(spark: Spark) -> None:
    stream = spark.generate("hi", max_tokens=8, stream=True)
    stream.close()
    stream.close()
    assert list(stream) == []
    with spark.generate("hi", max_tokens=8, stream=True) as stream:
        next(stream)
    spark.generate("hi", max_tokens=8, stream=True)
    del stream
    assert spark.generate("hi", max_tokens=2)


def test_a_stream_that_fails_frees_the_spark(stand_in: StandIn) -> None:
    honest, calls = stand_in.functions["decoder"], []

    def fails_late(given: Any) -> dict[str, Array]:  # noqa: ANN401 the arrays of a session
        calls.append(1)
        return {**honest(given), "logits": honest(given)["logits"] * (np.nan if calls[2:] else 1)}

    stand_in.functions["decoder"] = fails_late
    spark = stand_in.spark()
    with pytest.raises(DeviceError, match="decoder gave"):
        list(spark.generate("hi", max_tokens=8, stream=True))
    stand_in.functions["decoder"] = honest
    spark.drop()
    assert spark.generate("hi", max_tokens=2)


def test_calls_of_many_threads_give_what_one_thread_gives(spark: Spark) -> None:
    inputs = [RGB + i for i in range(4)]
    expected = [spark.generate("hi", rgb=each, max_tokens=10) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: spark.generate("hi", rgb=x, max_tokens=10), inputs * 4))
    assert found == expected * 4


def test_a_thread_that_waits_is_told_when_a_stream_takes_the_turn(spark: Spark) -> None:
    turns, errors = spark._turns, []

    def wait() -> None:
        try:
            turns.take()
        except UsageError as error:
            errors.append(error)

    turns.take()
    thread = threading.Thread(target=wait)
    thread.start()
    turns.keep()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1
