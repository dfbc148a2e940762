"""One call at a time: streams, threads, and who has to wait."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
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
            turns.take("waiting")
        except UsageError as error:
            errors.append(error)

    turns.take("streaming")
    thread = threading.Thread(target=wait)
    thread.start()
    turns.keep()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_an_interrupt_while_a_turn_is_taken_leaves_the_spark_free(
    spark: Spark, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = spark._turns.take

    def interrupted(owner: object) -> None:
        taking(owner)
        raise KeyboardInterrupt

    monkeypatch.setattr(spark._turns, "take", interrupted)
    for call in (lambda: spark.generate("hi"), lambda: spark.classify(rgb=RGB)):
        with pytest.raises(KeyboardInterrupt):
            call()
    monkeypatch.undo()
    assert spark.generate("hi", max_tokens=2)


def test_a_turn_is_given_back_only_by_the_one_who_has_it(spark: Spark) -> None:
    spark._turns.take("first")
    spark._turns.free("second")
    waits = threading.Thread(target=lambda: spark.generate("hi", max_tokens=1), daemon=True)
    waits.start()
    waits.join(0.05)
    assert waits.is_alive()
    spark._turns.free("first")
    waits.join(5)
    assert not waits.is_alive()


def test_a_stream_may_be_closed_by_another_thread_while_it_makes_a_piece(
    stand_in: StandIn,
) -> None:
    honest, running, go_on = stand_in.functions["decoder"], threading.Event(), threading.Event()

    def slow(given: Any) -> dict[str, Array]:  # noqa: ANN401 the arrays of a session
        running.set()
        assert go_on.wait(5)
        return honest(given)

    stand_in.functions["decoder"] = slow
    spark = stand_in.spark()
    stream = spark.generate("hi", max_tokens=8, stream=True)
    with ThreadPoolExecutor(2) as pool:
        piece = pool.submit(next, stream)
        assert running.wait(5)
        closed = pool.submit(stream.close)
        assert wait([closed], 0.05).not_done
        go_on.set()
        assert closed.result(5) is None
        assert isinstance(piece.exception(5), StopIteration)
    assert list(stream) == []
    assert len(stand_in.sessions["decoder"].calls) == 1  # what ran when it was closed, and no more
    assert spark.generate("hi", max_tokens=2)
