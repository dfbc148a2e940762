"""The next token: greedy, or drawn from the nucleus, the same for the same seed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.options import Options
from edgespark.runtime.sampling import Sampling, check_logits, chooser, nucleus

Array = np.ndarray[Any, Any]
LOGITS = np.log(np.array([0.1, 0.6, 0.05, 0.25], np.float32))
ANY_LOGITS = arrays.arrays(np.float32, 12, elements=st.floats(-50, 50, width=32))
CLOSE_LOGITS = arrays.arrays(  # with equal ones, and many at minus infinity
    np.float32,
    st.integers(1, 80),
    elements=st.sampled_from([-np.inf, *np.arange(-30, 31, 1.5).tolist()]),
).filter(lambda logits: bool(np.isfinite(logits).any()))
VOCABULARY = 32000


def sorted_nucleus(logits: Array, sampling: Sampling) -> tuple[Array, Array]:
    """Return what `nucleus` promises, from the whole vocabulary in order: the oracle."""
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    wide = logits[order].astype(np.float64)
    with np.errstate(over="ignore"):
        weights = np.exp((wide - wide[0]) / sampling.temperature)
    cumulative = np.cumsum(weights / weights.sum())
    size = int(np.searchsorted(cumulative, sampling.top_p, side="left")) + 1
    return order[:size], cumulative[:size]


def drawn_from_sorted(logits: Array, sampling: Sampling, count: int) -> list[int]:
    """Draw as `chooser` does, from the oracle's nucleus."""
    ids, cumulative = sorted_nucleus(logits, sampling)
    chances = np.random.default_rng(sampling.seed).random(count) * cumulative[-1]
    drawn: list[int] = ids[np.searchsorted(cumulative, chances, side="right")].tolist()
    return drawn


def shapes_of_logits() -> dict[str, Array]:
    """Return logits of a whole vocabulary, of models that are sure and of those that are not."""
    draw = np.random.default_rng(3)
    noise = draw.normal(size=VOCABULARY)
    few = np.zeros(VOCABULARY)
    few[draw.choice(VOCABULARY, 12)] = 14
    made = {
        "sure": noise + 30 * (np.arange(VOCABULARY) == 7),
        "peaked": noise * 2 + few,
        "wide": noise * 3,
        "flat": noise / 2,
        "equal": np.zeros(VOCABULARY),
        "falling": -np.arange(VOCABULARY) / 500,
        "rounded": np.round(noise * 2),
        "masked": np.where(np.arange(VOCABULARY) < 20, noise, -np.inf),
    }
    return {name: each.astype(np.float32) for name, each in made.items()}


SHAPES = shapes_of_logits()


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


CHOICES: dict[str, dict[str, Any]] = {
    "all": {},
    "nucleus": {"top_p": 0.9},
    "small nucleus": {"top_p": 0.3, "temperature": 0.7},
    "wide nucleus": {"top_p": 0.9999, "temperature": 1.3},
    "cold": {"top_p": 0.95, "temperature": 0.05},
    "forty": {"top_k": 40},
    "nucleus of forty": {"top_k": 40, "top_p": 0.8},
    "one": {"top_k": 1},
    "most": {"top_k": VOCABULARY - 5, "top_p": 0.5},
    "more than there are": {"top_k": 2 * VOCABULARY, "top_p": 0.5},
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_drawn_without_sorting_is_what_is_drawn_from_the_sorted_vocabulary(
    shape: str, choice: str
) -> None:
    sampling = Sampling(**{"temperature": 1.0, "seed": 5, **CHOICES[choice]})
    choose = chooser(sampling)
    found = [choose(SHAPES[shape]) for _ in range(8)]
    assert found == drawn_from_sorted(SHAPES[shape], sampling, 8)


@given(
    logits=CLOSE_LOGITS,
    temperature=st.floats(0.01, 5),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 90),
)
def test_the_nucleus_is_that_of_the_sorted_vocabulary(
    logits: Array, temperature: float, top_p: float, top_k: int
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k)
    ids, cumulative = nucleus(logits, sampling)
    expected, steps = sorted_nucleus(logits, sampling)
    common = min(len(ids), len(expected))
    assert ids[:common].tolist() == expected[:common].tolist()
    assert cumulative[:common] == pytest.approx(steps[:common], rel=1e-12)
    # one may be a token longer where top_p is reached but for a rounding
    assert cumulative[-1] == pytest.approx(steps[-1], abs=1e-12) or (
        steps[common - 1] == pytest.approx(top_p, abs=1e-12)
    )


def test_only_the_most_probable_are_drawn_and_of_equal_ones_the_first() -> None:
    choose = chooser(Sampling(temperature=3.0, top_k=3))
    logits = np.array([1, 5, 2, 2, 2, 0], np.float32)
    counts = np.bincount([choose(logits) for _ in range(3000)], minlength=6) / 3000
    weights = np.exp(np.array([0, 5, 2, 2, 0, 0]) / 3) * [0, 1, 1, 1, 0, 0]
    assert np.abs(counts - weights / weights.sum()).max() < 0.03
    assert counts[[0, 4, 5]].tolist() == [0, 0, 0]


def test_the_most_probable_one_alone_is_greedy() -> None:
    choose = chooser(Sampling(temperature=2.0, top_k=1))
    assert {choose(np.array([0, 3, 3, 1], np.float32)) for _ in range(20)} == {1}


@pytest.mark.parametrize("top_k", [0, 3])
def test_even_the_last_chance_draws_no_token_at_minus_infinity(
    monkeypatch: pytest.MonkeyPatch, top_k: int
) -> None:
    class Last:
        def random(self) -> float:
            return float(np.nextafter(1, 0))

    monkeypatch.setattr(np.random, "default_rng", lambda _: Last())
    logits = np.array([-np.inf, 0.1, 0.2, -np.inf], np.float32)
    for top_p in (1.0, 0.9999999):
        assert chooser(Sampling(temperature=0.3, top_p=top_p, top_k=top_k))(logits) == 1


@settings(deadline=None, max_examples=50)
@given(logits=ANY_LOGITS, temperature=st.floats(0.01, 5), top_p=st.floats(0.01, 1))
def test_a_draw_is_always_in_the_nucleus(logits: Array, temperature: float, top_p: float) -> None:
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
        ({"top_k": -1}, "top_k must be an integer >= 1, or 0 for all, got -1"),
        ({"top_k": 1.0}, "top_k"),
        ({"top_k": None}, "top_k"),
        ({"top_k": True}, "top_k"),
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
    with pytest.raises(DeviceError, match="decoder_a"):  # one row of several
        check_logits(np.array([[[1, 0], bad]], np.float32), "decoder_a")


def test_logits_that_are_checked_tell_the_highest_of_each_row() -> None:
    logits = np.random.default_rng(6).normal(size=(1, 3, 50)).astype(np.float32)
    logits[0, 1, :2] = (9, 9)
    logits[0, 2, 4:] = -np.inf
    assert check_logits(logits, "decoder").tolist() == logits.argmax(axis=-1).tolist()
    assert check_logits(logits[0, 1], "decoder") == 0


def test_narrow_integers_of_numpy_choose_what_pythons_do() -> None:
    logits = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    narrow = Sampling(temperature=1.0, top_k=np.uint8(200), seed=np.int8(100))  # type: ignore[arg-type]
    wide = Sampling(temperature=1.0, top_k=200, seed=100)
    assert narrow == wide
    assert (type(narrow.top_k), type(narrow.seed)) == (int, int)
    ids, _ = nucleus(logits, narrow)
    assert ids.tolist() == nucleus(logits, wide)[0].tolist()
    assert len(ids) == 200


def test_narrow_integers_of_numpy_are_counts_of_tokens() -> None:
    made = Options(max_tokens=np.int8(100), prompt_lookup=np.uint8(64))  # type: ignore[arg-type]
    assert (type(made.max_tokens), type(made.prompt_lookup)) == (int, int)
    assert (made.max_tokens, made.prompt_lookup) == (100, 64)
