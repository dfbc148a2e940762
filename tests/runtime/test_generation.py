"""How a bundle wants its answers made: its own defaults, and other ways to decode."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edgespark.runtime import UsageError
from edgespark.runtime.generation import Generation
from edgespark.runtime.manifest import Language
from edgespark.runtime.outcomes import Held, outcome
from tests.runtime.stand_in import StandIn

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)


def with_language(stand_in: StandIn, language: Language) -> StandIn:
    return replace(stand_in, manifest=replace(stand_in.manifest, language=language))


@pytest.fixture
def drawing(stand_in: StandIn) -> StandIn:
    usual = Generation(max_tokens=7, temperature=2.0, top_p=0.9)
    return with_language(stand_in, replace(stand_in.manifest.language, generation=usual))


@pytest.fixture
def forgetful(stand_in: StandIn) -> StandIn:
    return with_language(
        stand_in, replace(stand_in.manifest.language, decodings={"released": 2}, end=(0,))
    )


def positions(stand_in: StandIn) -> list[list[int]]:
    """Give the position ids of each call of the decoder."""
    calls = stand_in.sessions["decoder"].calls
    return [call["position_ids"][0].tolist() for call, _ in calls]


def test_what_the_caller_leaves_out_is_as_the_bundle_says(drawing: StandIn) -> None:
    spark = drawing.spark()
    usual = spark.generate("hi", rgb=RGB)
    assert usual == spark.generate("hi", rgb=RGB, max_tokens=7, temperature=2.0, top_p=0.9)
    assert usual != spark.generate("hi", rgb=RGB, temperature=0.0)
    assert spark.generate("hi", rgb=RGB, temperature=0.0, top_p=1.0) == spark.generate(
        "hi", rgb=RGB, temperature=0, max_tokens=7
    )


def test_answers_are_judged_greedily_whatever_the_bundle_draws(drawing: StandIn) -> None:
    spark = drawing.spark()
    greedy = spark.generate("hi", rgb=RGB, temperature=0)
    data = {"input": np.stack([RGB] * 2), "question": ["hi"] * 2, "answer": [greedy] * 2}
    labelled = {name: np.asarray(each) for name, each in data.items()} | {"label": np.zeros(2, int)}
    held = Held(modality="rgb", head=drawing.manifest.route("rgb").head, data=labelled)
    assert [outcome(spark, held, i).values["answer"] for i in range(2)] == [1, 1]


def test_a_decoding_that_forgets_puts_new_tokens_in_the_prompts_last_places(
    forgetful: StandIn,
) -> None:
    forgetful.spark().generate("hi", rgb=RGB, max_tokens=4, decoding="released")
    prompt, *steps = positions(forgetful)
    last = prompt[-1]
    assert steps == [[last - 1], [last], [last + 1]]
    pasts = [call["past.0"].shape[0] for call, _ in forgetful.sessions["decoder"].calls]
    assert pasts == [0, last - 1, last, last + 1]


def test_the_right_decoding_forgets_nothing(forgetful: StandIn) -> None:
    forgetful.spark().generate("hi", rgb=RGB, max_tokens=3)
    prompt, *steps = positions(forgetful)
    assert steps == [[prompt[-1] + 1], [prompt[-1] + 2]]


def test_a_prompt_without_modalities_is_never_forgotten(forgetful: StandIn) -> None:
    forgetful.spark().generate("hi", max_tokens=3, decoding="released")
    prompt, *steps = positions(forgetful)
    assert steps == [[prompt[-1] + 1], [prompt[-1] + 2]]


@pytest.mark.parametrize("name", ["relased", "", 2])
def test_an_unknown_decoding_is_told_with_those_there_are(forgetful: StandIn, name: object) -> None:
    with pytest.raises(UsageError, match=r"no decoding .* beside the right one: released"):
        forgetful.spark().generate("hi", rgb=RGB, decoding=name)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="no decoding"):
        forgetful.spark().generate("hi", decoding=name)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": math.nan},
    ],
)
def test_defaults_that_nothing_could_be_drawn_with_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs max_tokens"):
        Generation(**wrong)  # type: ignore[arg-type]
