"""The decoding loop: the same as reading the whole sequence anew, without copies of the states."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.backends import backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.decoder import Decoder, Limits, generate
from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.parts import program
from tests.runtime.stand_in import (
    CONTEXT,
    END,
    VOCABULARY,
    WEIGHTS,
    WIDTH,
    FakeSession,
    decode,
    decoder_part,
)

Array = NDArray[Any]
PART = decoder_part()
LIMITS = Limits(end=(), max_tokens=12)


def fresh(session: FakeSession) -> tuple[Decoder, Any]:
    decoder = Decoder(PART, PART.graphs[0].states, CONTEXT)
    return decoder, lambda embeddings, _: decoder.feed(embeddings, session.run)


def embed(ids: list[int]) -> Array:
    return np.take(WEIGHTS.embeddings, [ids], axis=0)


def greedy(logits: Array) -> int:
    return int(logits.argmax())


def recomputed(ids: list[int], count: int) -> Iterator[int]:
    """Give the next ids, each from the whole sequence: the oracle, which has no memory."""
    for _ in range(count):
        inputs = {
            "inputs_embeds": embed(ids),
            "position_ids": np.arange(len(ids))[None],
            "select": np.array([len(ids) - 1]),
            "past.0": np.zeros((0, 1, 1, WIDTH), np.float32),
        }
        ids = [*ids, greedy(decode(inputs)["logits"][0, 0])]
        yield ids[-1]


def test_the_steps_give_what_reading_the_whole_sequence_anew_gives() -> None:
    _, feed = fresh(FakeSession(decode))
    prompt = [3, 1, 4, 1, 5]
    found = list(generate(feed, embed(prompt), embed, greedy, LIMITS))
    assert found == list(recomputed(prompt, 12))


def test_the_past_is_a_view_of_one_buffer_and_new_rows_are_written_right_behind_it() -> None:
    session = FakeSession(decode)
    _, feed = fresh(session)
    list(generate(feed, embed([3, 1, 4]), embed, greedy, LIMITS))
    assert [len(inputs["past.0"]) for inputs, _ in session.calls] == [0, *range(3, 14)]
    start = session.calls[0][0]["past.0"].ctypes.data
    for inputs, outputs in session.calls:
        past, new = inputs["past.0"], outputs["new.0"]
        assert past.ctypes.data == start
        assert new.ctypes.data == start + past.nbytes if past.size else start
        assert len(new) == inputs["inputs_embeds"].shape[1]


def test_positions_go_on_where_the_last_step_ended_and_the_last_output_is_selected() -> None:
    session = FakeSession(decode)
    _, feed = fresh(session)
    feed(embed([1, 2, 3]), "")
    feed(embed([4, 5]), "")
    assert session.calls[1][0]["position_ids"].tolist() == [[3, 4]]
    assert session.calls[1][0]["select"].tolist() == [1]


def test_every_output_is_bound_so_that_a_step_allocates_none() -> None:
    session = FakeSession(decode)
    _, feed = fresh(session)
    for ids in ([1, 2], [3], [4]):
        feed(embed(ids), "")
    outputs = [outputs for _, outputs in session.calls]
    assert all(set(each) == {"hidden", "logits", "new.0"} for each in outputs)
    assert len({each["logits"].ctypes.data for each in outputs}) == 1
    assert outputs[0]["logits"].shape == (1, 1, VOCABULARY)


def test_a_restart_forgets_the_sequence() -> None:
    session = FakeSession(decode)
    decoder, feed = fresh(session)
    first = feed(embed([7, 8]), "")["logits"].copy()
    decoder.restart()
    assert (feed(embed([7, 8]), "")["logits"] == first).all()


def test_an_end_token_ends_and_is_not_given() -> None:
    _, feed = fresh(FakeSession(decode))
    ids = list(generate(feed, embed([3, 1]), embed, greedy, LIMITS))
    limits = replace(LIMITS, end=(END, ids[4]))
    expected = ids[: ids.index(ids[4])]
    assert list(generate(fresh(FakeSession(decode))[1], embed([3, 1]), embed, greedy, limits)) == (
        expected
    )


def test_no_step_is_run_for_a_token_after_the_last() -> None:
    session = FakeSession(decode)
    limits = Limits(end=(), max_tokens=1)
    assert len(list(generate(fresh(session)[1], embed([3]), embed, greedy, limits))) == 1
    assert len(session.calls) == 1


def test_beyond_the_context_is_an_error_and_the_last_position_is_not() -> None:
    _, feed = fresh(FakeSession(decode))
    feed(embed([1] * (CONTEXT - 1)), "")
    feed(embed([1]), "")
    with pytest.raises(UsageError, match=f"{CONTEXT + 1} positions do not fit"):
        feed(embed([1]), "")


def test_logits_that_are_not_finite_name_the_decoder() -> None:
    def overflow(given: Mapping[str, Array]) -> dict[str, Array]:
        return {**decode(given), "logits": np.full((1, 1, VOCABULARY), np.nan, np.float32)}

    _, feed = fresh(FakeSession(overflow))
    with pytest.raises(DeviceError, match="decoder gave nan"):
        feed(embed([1]), "")


def test_the_real_decoder_gives_with_its_states_what_it_gives_without(tiny: Path) -> None:
    bundle = Bundle.open(tiny)
    language = bundle.manifest.language
    part = bundle.manifest.part(language.decoder)
    states = part.graphs[0].states
    session = backend("onnxruntime").open_session(program(bundle, part, part.graphs[0], None))
    draw = np.random.default_rng(2)
    width = part.inputs[0].axes[-1].high
    rows = draw.normal(size=(1, 12, width)).astype(np.float32)
    decoder = Decoder(part, states, language.context)
    stepwise = [
        decoder.feed(rows[:, begin:end], session.run)["logits"].copy()
        for begin, end in ((0, 5), (5, 6), (6, 10), (10, 12))
    ]
    for end, found in zip((5, 6, 10, 12), stepwise, strict=True):
        decoder.restart()
        whole = decoder.feed(rows[:, :end], session.run)["logits"]
        assert np.abs(found - whole).max() < 1e-4 * whole.std()
