"""What a sequence shares with the last one is not fed again, and nothing tells the difference."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime import DeviceError, Spark, UsageError
from edgespark.runtime import loop as loops
from edgespark.runtime.held import Held, ids_from
from edgespark.runtime.manifest import State
from edgespark.runtime.prompt import Piece, length
from edgespark.runtime.stats import Record
from tests.runtime.stand_in import BEGIN, CONTEXT, VOCABULARY, WIDTH, Array, StandIn, decode

DRAW = np.random.default_rng(1)
RGB = DRAW.normal(size=(3, 4, 4)).astype(np.float32)
SAR = DRAW.normal(size=(2, 4, 4)).astype(np.float32)
FRAME = len("^ Q: A:")
IMAGE = len("rgb:") + 2
STEP = 0.25


@pytest.fixture
def spark(stand_in: StandIn) -> Spark:
    return stand_in.spark()


def fed(stand_in: StandIn) -> list[int]:
    """Return how many positions each run of the decoder was fed."""
    calls = stand_in.sessions["decoder"].calls
    return [inputs["inputs_embeds"].shape[1] for inputs, _ in calls]


CALLS: tuple[Callable[[Spark], Any], ...] = (
    lambda spark: spark.generate("hi", rgb=RGB, max_tokens=9),
    lambda spark: spark.classify(rgb=RGB),
    lambda spark: spark.generate("hello", rgb=RGB, max_tokens=9),
    lambda spark: spark.generate("hello", rgb=RGB, max_tokens=9),
    lambda spark: spark.generate("hi", rgb=RGB + 1, max_tokens=9),
    lambda spark: spark.classify(sar=SAR, rgb=RGB),
    lambda spark: spark.generate("hi", sar=SAR, rgb=RGB, max_tokens=9, prompt_lookup=3),
    lambda spark: spark.generate("hi", rgb=RGB, sar=SAR, max_tokens=9),
    lambda spark: spark.generate("hi", language="abc", max_tokens=9),
    lambda spark: spark.generate("hi", language="abd", max_tokens=9, temperature=1.0, seed=3),
    lambda spark: spark.predict(range=SAR).tolist(),
    lambda spark: spark.generate("hi", max_tokens=9),
    lambda spark: spark.generate("hi", rgb=RGB, max_tokens=1),
)


@given(order=st.lists(st.integers(0, len(CALLS) - 1), max_size=8))
def test_any_calls_in_any_order_give_what_each_gives_alone(order: list[int]) -> None:
    spark = StandIn().spark()
    for number in order:
        found, wanted = CALLS[number](spark), CALLS[number](StandIn().spark())
        assert found == (pytest.approx(wanted, rel=1e-4) if isinstance(wanted, dict) else wanted)


def test_the_same_prompt_again_feeds_its_last_position_alone(
    stand_in: StandIn, spark: Spark
) -> None:
    first = spark.generate("hi", rgb=RGB, max_tokens=1)
    taken = spark.stats.prompt_tokens
    assert spark.stats.reused_tokens == 0
    assert spark.generate("hi", rgb=RGB, max_tokens=1) == first
    assert (spark.stats.prompt_tokens, spark.stats.reused_tokens) == (taken, taken - 1)
    assert fed(stand_in) == [taken, 1]
    assert stand_in.sessions["embedder"].calls[-1][0]["input_ids"].shape == (1, 1)


def test_another_question_about_the_same_image_feeds_the_question_alone(
    stand_in: StandIn, spark: Spark
) -> None:
    spark.generate("what?", rgb=RGB, max_tokens=1)
    spark.generate("where?", rgb=RGB, max_tokens=1)
    assert spark.stats.reused_tokens == 1 + IMAGE + len(" Q:wh")
    assert fed(stand_in)[-1] == len("ere? A:")
    spark.classify(rgb=RGB)
    assert spark.stats.reused_tokens == 1 + IMAGE + len(" ")
    assert fed(stand_in)[-1] == len("class")


def test_another_image_is_fed_from_its_tokens_on(stand_in: StandIn, spark: Spark) -> None:
    spark.generate("hi", rgb=RGB, max_tokens=1)
    spark.generate("hi", rgb=RGB + 1, max_tokens=1)
    assert spark.stats.reused_tokens == 1 + len("rgb:")
    assert fed(stand_in)[-1] == 2 + FRAME - 1 + len("hi")


def test_a_sequence_goes_on_behind_the_answer_that_was_generated(spark: Spark) -> None:
    spark.generate("hello", max_tokens=6)
    loop, record = spark._model._loop, Record()
    assert loop is not None
    assert len(loop.ids) == FRAME + len("hello") + 5  # the last token was not fed
    loop.put([[*loop.ids, 65, 66]], record)
    assert (record.prompt_tokens, record.reused_tokens) == (len(loop.ids) + 2, len(loop.ids))


def test_a_decoding_that_forgets_positions_gives_the_same_again(stand_in: StandIn) -> None:
    language = replace(stand_in.manifest.language, decodings={"as_released": 3})
    stand_in.manifest = replace(stand_in.manifest, language=language)
    spark = stand_in.spark()

    def answer(spark: Spark, decoding: str | None, lookup: int = 0) -> str:
        return spark.generate("hi", rgb=RGB, max_tokens=9, decoding=decoding, prompt_lookup=lookup)

    for decoding in ("as_released", None, "as_released", "as_released", None, None):
        for lookup in (0, 4):
            wanted = answer(stand_in.spark(), decoding)
            assert answer(spark, decoding, lookup) == wanted


def test_after_an_error_nothing_is_reused(stand_in: StandIn) -> None:
    honest = stand_in.functions["decoder"]

    def fails(given: Mapping[str, Array]) -> dict[str, Array]:
        made = honest(given)
        broken = given["position_ids"][0, -1] > FRAME + 4
        return {name: array * np.float32(np.nan if broken else 1) for name, array in made.items()}

    wanted = stand_in.spark().generate("hi", max_tokens=2)
    stand_in.functions["decoder"] = fails
    spark = stand_in.spark()
    assert spark.generate("hi", max_tokens=2) == wanted
    with pytest.raises(DeviceError, match="decoder gave nan"):
        spark.generate("hi", max_tokens=12)
    assert spark.generate("hi", max_tokens=2) == wanted
    assert spark.stats.reused_tokens == 0


def test_an_interrupt_at_any_run_leaves_what_gives_the_right_answer(stand_in: StandIn) -> None:
    honest, left = stand_in.functions["decoder"], [0]

    def interrupted(given: Mapping[str, Array]) -> dict[str, Array]:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return honest(given)

    wanted = stand_in.spark().generate("hi", rgb=RGB, max_tokens=6)
    stand_in.functions["decoder"] = interrupted
    spark = stand_in.spark()
    for run in (1, 2, 4):
        left[0] = run
        with pytest.raises(KeyboardInterrupt):
            spark.generate("hello", rgb=RGB, max_tokens=6)
        left[0] = 0
        assert spark.generate("hi", rgb=RGB, max_tokens=6) == wanted


def test_a_long_prompt_is_fed_in_chunks_and_gives_the_same(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = stand_in.spark().generate("h" * 40, rgb=RGB, max_tokens=9)
    monkeypatch.setattr(loops, "CHUNK", 16)
    spark = stand_in.spark()
    assert spark.generate("h" * 40, rgb=RGB, max_tokens=9) == wanted
    positions = FRAME + 40 + IMAGE
    chunks = [16] * (positions // 16) + [positions % 16]
    assert fed(stand_in)[: len(chunks)] == chunks
    assert all(inputs["select"].size == 1 for inputs, _ in stand_in.sessions["decoder"].calls)


def test_a_stream_that_is_closed_between_chunks_runs_no_further_one(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "CHUNK", 8)
    wanted = stand_in.spark().generate("h" * 40, max_tokens=3)
    honest, running, go_on = stand_in.functions["decoder"], threading.Event(), threading.Event()

    def slow(given: Mapping[str, Array]) -> dict[str, Array]:
        running.set()
        assert go_on.wait(5)
        return honest(given)

    stand_in.functions["decoder"] = slow
    spark = stand_in.spark()
    stream = spark.generate("h" * 40, max_tokens=3, stream=True)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    assert running.wait(5)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join(0.05)
    go_on.set()
    for thread in (reader, closer):
        thread.join(5)
        assert not thread.is_alive()
    assert fed(stand_in) == [8]
    assert spark.generate("h" * 40, max_tokens=3) == wanted
    assert spark.stats.reused_tokens == 8


def test_a_prompt_beyond_the_context_is_refused_though_most_of_it_is_there(spark: Spark) -> None:
    spark.generate("h" * 60, max_tokens=1)
    with pytest.raises(UsageError, match=rf"take {FRAME + 90} positions, the context .*{CONTEXT}"):
        spark.generate("h" * 90, max_tokens=1)
    with pytest.raises(UsageError, match="30 new tokens do not fit"):
        spark.generate("h" * 60, max_tokens=30)
    spark.generate("h" * 60, max_tokens=1)
    assert spark.stats.reused_tokens == FRAME + 59


ROWS = st.integers(0, 2)


@st.composite
def sequences(draw: st.DrawFn) -> list[Piece]:
    """Draw a sequence of few different ids and rows, so that two often begin alike."""
    pieces: list[Piece] = [[BEGIN]]
    for _ in range(draw(st.integers(0, 3))):
        content = draw(st.lists(ROWS, max_size=4))
        rows = np.repeat(np.array(content, np.float32)[None, :, None], WIDTH, axis=2)
        pieces.append(content if draw(st.booleans()) else rows)
    return pieces


def flat(pieces: list[Piece]) -> list[tuple[bool, int]]:
    """Return what stands at each position: whether it is an id, and which or of what content."""
    return [
        (isinstance(piece, list), int(each))
        for piece in pieces
        for each in (piece if isinstance(piece, list) else piece[0, :, 0])
    ]


@given(first=sequences(), second=sequences(), fed=st.integers(0, 20))
def test_shared_is_the_longest_common_beginning_and_put_completes_it(
    first: list[Piece], second: list[Piece], fed: int
) -> None:
    table = DRAW.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    held, whole = Held(CONTEXT, WIDTH), Held(CONTEXT, WIDTH)
    held.put(first, 0, table[None, ids_from(first, 0)])
    fed = min(fed, length(first))
    a, b = flat(first)[:fed], flat(second)
    wanted = next((i for i, pair in enumerate(zip(a, b, strict=False)) if len({*pair}) > 1), None)
    shared = held.shared(second, fed)
    assert shared == (min(len(a), len(b)) if wanted is None else wanted)
    rows = held.put(second, shared, table[None, ids_from(second, shared)])
    all_rows = whole.put(second, 0, table[None, ids_from(second, 0)])
    assert np.array_equal(rows, all_rows[:, shared:])
    assert held.ids(length(second)) == whole.ids(length(second))
    assert held.shared(second, length(second)) == length(second)


def with_codes(stand_in: StandIn) -> StandIn:
    """Give the stand-in's portable decoder a past of int8 codes, which it reads in later runs."""
    part = stand_in.manifest.part("decoder")
    (state,) = part.graphs[0].states
    codes = State(
        past=replace(state.past, dtype="int8"), new=replace(state.new, dtype="int8"), step=STEP
    )
    coded = replace(part, graphs=(replace(part.graphs[0], states=(codes,)),))
    parts = tuple(coded if each is part else each for each in stand_in.manifest.parts)
    stand_in.manifest = replace(stand_in.manifest, parts=parts)

    def recoding(given: Mapping[str, Array]) -> dict[str, Array]:
        made = decode({**given, "past.0": (given["past.0"] * STEP).astype(np.float32)})
        return {**made, "new.0": np.clip(np.round(made["new.0"] / STEP), -128, 127).astype("int8")}

    stand_in.functions["decoder"] = recoding
    return stand_in


def test_where_rows_are_read_as_codes_later_nothing_is_reused_and_nothing_fed_in_chunks(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "CHUNK", 16)
    spark = with_codes(stand_in).spark()
    first, scores = spark.generate("h" * 40, rgb=RGB, max_tokens=9), spark.classify(rgb=RGB)
    assert spark.classify(rgb=RGB) == scores
    assert spark.generate("h" * 40, rgb=RGB, max_tokens=9) == first
    assert spark.stats.reused_tokens == 0
    assert fed(stand_in)[0] == fed(stand_in)[-9] == FRAME + 40 + IMAGE
