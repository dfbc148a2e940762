"""The decoding loop: the same as reading the whole sequence anew, without copies of the states."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.runtime.backends import backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.decoder import Decoder, Draft, Limits, Undrafted, generate
from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.parts import program
from tests.runtime import lowered_decoder
from tests.runtime.lowered_decoder import lowered
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
STATES = PART.graphs[0].states
NO_GUESS = Undrafted()
LIMITS = Limits(end=(), max_tokens=12)


def in_place() -> Decoder:
    return Decoder(PART, tuple(map(lowered_decoder.in_place, STATES)), CONTEXT, in_place=True)


@dataclass
class Memory:
    """The decoder, with the embedder in front of it; and a sequence that is read from it."""

    session: FakeSession
    decoder: Decoder = field(default_factory=lambda: Decoder(PART, STATES, CONTEXT))

    def feed(self, embeddings: Array) -> dict[str, Array]:
        return self.decoder.feed(embeddings, self.session.run)

    def step(self, ids: list[int]) -> Array:
        made = self.decoder.feed(embed(ids), self.session.run, len(ids))
        return np.asarray(made["logits"][0])

    def forget(self, count: int) -> None:
        self.decoder.forget(count)

    def answer(self, prompt: list[int], limits: Limits, guesses: Draft = NO_GUESS) -> list[int]:
        logits = self.feed(embed(prompt))["logits"][0]
        return list(generate(logits, self, greedy, limits, guesses))


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
    prompt = [3, 1, 4, 1, 5]
    found = Memory(FakeSession(decode)).answer(prompt, LIMITS)
    assert found == list(recomputed(prompt, 12))


def test_the_past_is_a_view_of_one_buffer_and_new_rows_are_written_right_behind_it() -> None:
    session = FakeSession(decode)
    Memory(session).answer([3, 1, 4], LIMITS)
    assert [len(inputs["past.0"]) for inputs, _ in session.calls] == [0, *range(3, 14)]
    start = session.calls[0][0]["past.0"].ctypes.data
    for inputs, outputs in session.calls:
        past, new = inputs["past.0"], outputs["new.0"]
        assert past.ctypes.data == start
        assert new.ctypes.data == start + past.nbytes if past.size else start
        assert len(new) == inputs["inputs_embeds"].shape[1]


def test_positions_go_on_where_the_last_step_ended_and_the_last_output_is_selected() -> None:
    session = FakeSession(decode)
    memory = Memory(session)
    memory.feed(embed([1, 2, 3]))
    memory.feed(embed([4, 5]))
    assert session.calls[1][0]["position_ids"].tolist() == [[3, 4]]
    assert session.calls[1][0]["select"].tolist() == [1]


def test_every_output_is_bound_so_that_a_step_allocates_none() -> None:
    session = FakeSession(decode)
    memory = Memory(session)
    for ids in ([1, 2], [3], [4]):
        memory.feed(embed(ids))
    outputs = [outputs for _, outputs in session.calls]
    assert all(set(each) == {"hidden", "logits", "new.0"} for each in outputs)
    assert len({each["logits"].ctypes.data for each in outputs}) == 1
    assert outputs[0]["logits"].shape == (1, 1, VOCABULARY)


def test_to_keep_nothing_forgets_the_sequence() -> None:
    memory = Memory(FakeSession(decode))
    first = memory.feed(embed([7, 8]))["logits"].copy()
    memory.decoder.keep(0)
    assert (memory.feed(embed([7, 8]))["logits"] == first).all()


@pytest.mark.parametrize("ids", [[[3, 1, 4], [1], [5, 9]], [[2], [7, 1, 8, 2]]])
def test_states_in_place_give_what_appended_ones_give(ids: list[list[int]]) -> None:
    plain = Memory(FakeSession(decode))
    other = Memory(FakeSession(lowered), in_place())
    for each in ids:
        assert np.allclose(plain.step(each), other.step(each), rtol=1e-5)
    session = other.session
    assert [int(given["total_sequence_length"]) for given, _ in session.calls[-1:]] == [
        sum(map(len, ids))
    ]
    assert len({given["past.0"].ctypes.data for given, _ in session.calls}) == 1


def test_a_bound_step_gives_what_feeding_gives_and_only_values_change() -> None:
    session, rows = FakeSession(lowered), np.zeros((1, 1, WIDTH), np.float32)
    decoder, plain = in_place(), Memory(FakeSession(decode))
    step = decoder.bound(rows, session.bind)
    for count in range(3):
        decoder.keep(0)
        decoder.feed(embed([7] * (count + 1)), session.run)
        plain.decoder.keep(0)
        plain.step([7] * (count + 1))
        for token in (3, 1, 4):
            rows[:] = embed([token])
            assert np.allclose(step(), plain.step([token]), rtol=1e-5)
            assert decoder.length == plain.decoder.length
    decoder.keep(0)
    decoder.feed(embed([1] * CONTEXT), session.run)
    with pytest.raises(UsageError, match=f"{CONTEXT + 1} positions do not fit"):
        step()


def test_a_bound_step_that_gives_no_numbers_names_the_decoder_and_forgets_the_sequence() -> None:
    def overflow(given: Mapping[str, Array]) -> dict[str, Array]:
        made = lowered(given)
        made["logits"][0, 0, 3] = np.nan
        return made

    decoder, rows = in_place(), np.zeros((1, 1, WIDTH), np.float32)
    step = decoder.bound(rows, FakeSession(overflow).bind)
    with pytest.raises(DeviceError, match="decoder gave nan"):
        step()
    assert decoder.length == 0


@dataclass
class Guesses:
    """Guesses the right ids, but for those whose numbers are in `wrong`."""

    right: list[int]
    wrong: set[int]
    most: int
    seen: int = 0

    def add(self, token: int) -> None:
        assert token == self.right[self.seen]
        self.seen += 1

    def draft(self, most: int) -> list[int]:
        numbers = range(self.seen, min(self.seen + min(self.most, most), len(self.right)))
        return [(self.right[i] + (i in self.wrong)) % VOCABULARY for i in numbers]


@given(
    wrong=st.sets(st.integers(0, 12)),
    most=st.integers(0, 5),
    within=st.booleans(),
    end=st.integers(0, 12),
)
def test_guesses_right_or_wrong_change_nothing_in_what_is_generated(
    *, wrong: set[int], most: int, within: bool, end: int
) -> None:
    prompt = [3, 1, 4, 1, 5]
    right = list(recomputed(prompt, 12))
    limits = LIMITS if end == 12 else replace(LIMITS, end=(right[end],))
    wanted = right if end == 12 else right[: right.index(right[end])]
    function, decoder = (
        (lowered, in_place()) if within else (decode, Decoder(PART, STATES, CONTEXT))
    )
    memory = Memory(FakeSession(function), decoder)
    assert memory.answer(prompt, limits, Guesses(right, wrong, most)) == wanted
    if not wrong and end == 12:
        assert len(memory.session.calls) == 1 + -(-11 // (most + 1))  # the last id is not fed


def test_right_guesses_never_feed_beyond_the_tokens_that_were_asked_for() -> None:
    right = list(recomputed([3], 12))
    memory = Memory(FakeSession(decode))
    memory.answer([3], LIMITS, Guesses(right, set(), 99))
    assert memory.decoder.length <= 1 + LIMITS.max_tokens


def test_an_end_token_ends_and_is_not_given() -> None:
    ids = Memory(FakeSession(decode)).answer([3, 1], LIMITS)
    limits = replace(LIMITS, end=(END, ids[4]))
    assert Memory(FakeSession(decode)).answer([3, 1], limits) == ids[: ids.index(ids[4])]


def test_no_step_is_run_for_a_token_after_the_last() -> None:
    session = FakeSession(decode)
    limits = Limits(end=(), max_tokens=1)
    assert len(Memory(session).answer([3], limits)) == 1
    assert len(session.calls) == 1


def test_beyond_the_context_is_an_error_and_the_last_position_is_not() -> None:
    memory = Memory(FakeSession(decode))
    memory.feed(embed([1] * (CONTEXT - 1)))
    memory.feed(embed([1]))
    with pytest.raises(UsageError, match=f"{CONTEXT + 1} positions do not fit"):
        memory.feed(embed([1]))
    assert memory.decoder.length == CONTEXT


def test_logits_that_are_not_finite_name_the_decoder() -> None:
    def overflow(given: Mapping[str, Array]) -> dict[str, Array]:
        return {**decode(given), "logits": np.full((1, 1, VOCABULARY), np.nan, np.float32)}

    memory = Memory(FakeSession(overflow))
    with pytest.raises(DeviceError, match="decoder gave nan"):
        memory.feed(embed([1]))
    assert memory.decoder.length == 0


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
        decoder.keep(0)
        whole = decoder.feed(rows[:, :end], session.run)["logits"]
        assert np.abs(found - whole).max() < 1e-4 * whole.std()


def test_fewer_than_no_positions_are_never_kept() -> None:
    memory = Memory(FakeSession(decode))
    memory.feed(embed([1, 2]))
    memory.decoder.keep(-1)
    assert memory.decoder.length == 0
