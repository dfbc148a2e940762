"""The next token: greedy, or drawn from the nucleus, the same for the same seed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.sampling import Sampling, check_logits, chooser, nucleus

LOGITS = np.log(np.array([0.1, 0.6, 0.05, 0.25], np.float32))
ANY_LOGITS = arrays.arrays(np.float32, 12, elements=st.floats(-50, 50, width=32))


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    assert chooser(Sampling())(np.array([0, 3, 3, 1], np.float32)) == 1


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others() -> None:
    draws = []
    for seed in (1, 1, 2):
        choose = chooser(Sampling(temperature=1.0, seed=seed))
        draws.append([choose(LOGITS) for _ in range(40)])
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    choose = chooser(Sampling(temperature=1.0))
    counts = np.bincount([choose(LOGITS) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - np.exp(LOGITS)).max() < 0.03


@pytest.mark.parametrize(
    ("top_p", "tokens"), [(0.01, [1]), (0.6, [1]), (0.7, [1, 3]), (0.9, [1, 3, 0])]
)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(
    top_p: float, tokens: list[int]
) -> None:
    ids, cumulative = nucleus(LOGITS, Sampling(temperature=1.0, top_p=top_p))
    assert ids.tolist() == tokens
    assert cumulative[-1] >= top_p - 1e-6


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1e-3])
def test_a_tiny_temperature_is_greedy_and_overflows_in_silence(temperature: float) -> None:
    assert chooser(Sampling(temperature=temperature, seed=4))(LOGITS) == 1


def test_a_huge_temperature_is_uniform() -> None:
    choose = chooser(Sampling(temperature=1e30))
    assert {choose(LOGITS) for _ in range(100)} == {0, 1, 2, 3}


def test_a_token_at_minus_infinity_is_never_drawn() -> None:
    logits = np.array([0, -np.inf, 0], np.float32)
    choose = chooser(Sampling(temperature=5.0))
    check_logits(logits, "decoder")
    assert {choose(logits) for _ in range(100)} == {0, 2}


@settings(deadline=None, max_examples=50)
@given(logits=ANY_LOGITS, temperature=st.floats(0.01, 5), top_p=st.floats(0.01, 1))
def test_a_draw_is_always_in_the_nucleus(
    logits: np.ndarray[Any, Any], temperature: float, top_p: float
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, seed=9)
    ids, _ = nucleus(logits, sampling)
    assert chooser(sampling)(logits) in ids
    # logits closer than float64 can tell as probabilities are equally likely
    assert logits.argmax() in ids or logits[ids[0]] == pytest.approx(logits.max(), rel=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": -0.1}, "temperature must be a finite number >= 0, got -0.1"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"top_p": 0}, "top_p must be a number above 0 and up to 1, got 0"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"top_p": "1"}, "top_p"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"seed": 1.0}, "seed"),
        ({"seed": None}, "seed"),
        ({"seed": True}, "seed"),
    ],
)
def test_values_that_cannot_be_are_wrong_use(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Sampling(**change)


@pytest.mark.parametrize("bad", [[0, np.nan], [np.inf, 0], [-np.inf, -np.inf]])
def test_logits_that_are_no_numbers_name_the_stage_that_gave_them(bad: list[float]) -> None:
    with pytest.raises(DeviceError, match=r"decoder_a gave .* instead of numbers"):
        check_logits(np.array(bad, np.float32), "decoder_a")
