"""Where an answer ends before it begins: too long, empty, or made of what is no number."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime import DeviceError, Spark, UsageError, load
from edgespark.runtime.cli import main
from edgespark.runtime.generation import Generation
from tests.runtime.stand_in import CONTEXT, StandIn
from tests.runtime.stand_in_parts import VOCABULARY, Array, Arrays, Function

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
FRAME = len("^ Q: A:")  # positions around a prompt, the begin among them
IMAGE = len("rgb:") + 2  # positions of an image: its prompt, and the bridge's tokens


def told(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> str:
    """Return the one line that the command says of an error; nothing else is said."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgespark: error: ")
    assert err.count("\n") == 1
    return err


def test_more_tokens_than_the_context_has_left_are_refused_with_all_numbers(
    stand_in: StandIn,
) -> None:
    spark, taken = stand_in.spark(), FRAME + 2 + IMAGE
    with pytest.raises(
        UsageError,
        match=rf"take at least {taken - 2} of {CONTEXT} positions, so that {CONTEXT} new tokens",
    ):
        spark.generate("hi", rgb=RGB, max_tokens=CONTEXT)
    assert stand_in.sessions == {}
    with pytest.raises(
        UsageError,
        match=rf"{taken} of {CONTEXT} positions, .* ask for at most {CONTEXT - taken}",
    ):
        spark.generate("hi", rgb=RGB, max_tokens=CONTEXT - taken + 1)
    spark.generate("hi", rgb=RGB, max_tokens=CONTEXT - taken)
    assert spark.stats.prompt_tokens == taken


def test_the_bundles_own_number_of_tokens_is_held_to_the_context_too(stand_in: StandIn) -> None:
    language = replace(stand_in.manifest.language, generation=Generation(max_tokens=CONTEXT))
    stand_in.manifest = replace(stand_in.manifest, language=language)
    with pytest.raises(UsageError, match=f"{CONTEXT} new tokens do not fit: ask for at most"):
        stand_in.spark().generate("hi")
    assert stand_in.spark().generate("hi", max_tokens=4)


def test_a_sequence_that_fills_the_context_is_read_anew_after_one_that_did_not_fit(
    stand_in: StandIn,
) -> None:
    spark, most = stand_in.spark(), CONTEXT - FRAME
    full = "a" * (most - 1)
    first = spark.generate(full, max_tokens=1)
    assert spark.stats.prompt_tokens == CONTEXT - 1
    for prompt, new in ((full, 2), (full + "a", 1), (full + "ab", 1)):
        with pytest.raises(UsageError, match=rf"of {CONTEXT} pos|the context holds {CONTEXT}"):
            spark.generate(prompt, max_tokens=new)
    assert spark.generate(full, max_tokens=1) == first


def test_drafts_never_reach_beyond_the_context(stand_in: StandIn) -> None:
    stand_in.functions["decoder"] = saying(65)  # what is drafted is always right
    language = replace(stand_in.manifest.language, end=())
    stand_in.manifest = replace(stand_in.manifest, language=language)
    spark, left = stand_in.spark(), CONTEXT - FRAME - 2
    answer = spark.generate("hi", max_tokens=left, prompt_lookup=64)
    assert spark.stats.new_tokens == left == len(answer)
    assert spark.stats.accepted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": -1}, "top_k must be an integer >= 1, or 0 for all, got -1"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_k": "40"}, "top_k"),
        ({"prompt_lookup": -1}, "prompt_lookup must be an integer >= 0, got -1"),
        ({"prompt_lookup": True}, "prompt_lookup"),
        ({"prompt_lookup": None}, "prompt_lookup"),
        ({"prompt_lookup": 10**9}, "prompt_lookup must be at most 64, got 1000000000"),
    ],
)
def test_numbers_of_candidates_and_drafts_that_cannot_be_run_nothing(
    stand_in: StandIn, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        stand_in.spark().generate("hi", **options)
    assert stand_in.sessions == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", ""], "the prompt is empty: ask something, such as 'What is here?'"),
        (["--prompt", "hi", "--max-tokens", "96"], "9 of 96 positions, so that 96 new tokens do"),
        (["--prompt", "a" * 90], "take 97 positions, the context holds 96: shorten the prompt"),
        (["--prompt", "hi", "--top-k", "-1"], "top_k must be an integer >= 1, or 0 for all"),
        (["--prompt", "hi", "--top-k", "few"], "invalid int value: 'few'"),
        (["--prompt", "hi", "--prompt-lookup", "-1"], "prompt_lookup must be an integer >= 0"),
        (["--prompt", "hi", "--prompt-lookup", "65"], "prompt_lookup must be at most 64"),
        (["--task", "embed", "--top-k", "3"], "--top-k means nothing to --task embed"),
        (["--task", "embed", "--prompt-lookup", "3"], "--prompt-lookup means nothing"),
        (["--prompt", "hi", "--portable=yes"], "ignored explicit argument 'yes'"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in told(capsys, ["run", str(folder), *arguments], 2)


BAD_ROWS: dict[str, Callable[[Array], None]] = {
    "all NaN": lambda row: row.fill(np.nan),
    "one NaN": lambda row: row.put(3, np.nan),
    "one infinity": lambda row: row.put(VOCABULARY - 1, np.inf),
    "nothing possible": lambda row: row.fill(-np.inf),
}
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": {"temperature": 0.8, "top_p": 0.9},
    "of a few": {"temperature": 0.8, "top_k": 5},
    "drafted": {"prompt_lookup": 4},
}


def saying(token: int, spoil: Callable[[Array], None] | None = None, after: int = 0) -> Function:
    """Return a decoder that says one token again and again, and is spoilt after some positions."""

    def decode(given: Mapping[str, Array]) -> Arrays:
        rows = given["inputs_embeds"].transpose(1, 0, 2)[:, :, None, :]
        places = len(given["past.0"]) + given["select"]
        logits = np.zeros((1, len(places), VOCABULARY), np.float32)
        logits[0, :, token] = 30
        for row, place in zip(logits[0], places, strict=True):
            if spoil is not None and place >= after:
                spoil(row)
        hidden = rows[given["select"], :, 0].transpose(1, 0, 2)
        return {"hidden": hidden, "logits": logits, "new.0": rows}

    return decode


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("after", [0, FRAME + 2 + 5], ids=["prompt", "sixth token"])
def test_logits_that_are_no_numbers_end_the_answer_with_the_stages_name(
    stand_in: StandIn, bad: str, way: str, after: int
) -> None:
    stand_in.functions["decoder"] = saying(65, BAD_ROWS[bad], after)
    spark = stand_in.spark()
    with pytest.raises(DeviceError, match=r"^decoder gave (nan|inf|-inf) instead of numbers"):
        spark.generate("hi", max_tokens=60, **WAYS[way])
    assert len(stand_in.sessions["decoder"].calls) <= 7
    stand_in.functions["decoder"] = saying(66)
    spark.drop()
    assert spark.generate("hi", max_tokens=3, **WAYS[way]) == "ccc"


def test_logits_that_are_no_numbers_are_one_line_and_exit_code_4(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.functions["decoder"] = saying(65, BAD_ROWS["all NaN"], FRAME + 6)
    line = told(capsys, ["run", str(folder), "--prompt", "hi"], 4)
    assert "decoder gave nan instead of numbers" in line


@pytest.fixture
def asked(tiny: Path) -> list[tuple[str, Array]]:
    """Return questions with images from the samples of the real bundle."""
    with np.load(tiny / "samples" / "rgb.npz") as samples:
        return [(str(samples["question"][i]), samples["input"][i]) for i in range(4)]


def test_threads_that_share_the_real_bundle_get_what_each_alone_gets(
    tiny: Path, asked: list[tuple[str, Array]]
) -> None:
    spark = load(tiny, threads=1)

    def ask(case: tuple[str, Array]) -> list[str]:
        question, image = case
        drawn = spark.generate(question, rgb=image, max_tokens=12, temperature=1.5, seed=3)
        return [spark.generate(question, rgb=image, max_tokens=12), drawn]

    alone = [ask(each) for each in asked]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(ask, asked * 3))
    assert together == alone * 3


def words(spark: Spark, tokens: int) -> str:
    """Return a prompt whose sequence takes exactly so many positions."""
    size = spark._model._tokenizer.encode
    template, begin = spark.manifest.language.template, len(spark.manifest.language.begin)
    for count in range(tokens):
        prompt = "water " * count
        if begin + len(size(template.replace("{prompt}", prompt))) == tokens:
            return prompt
    raise AssertionError(f"no prompt of {tokens} tokens")


def test_the_real_bundle_reads_a_prompt_of_the_context_less_the_new_tokens_and_no_longer_one(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spark, new = load(tiny, threads=1), 5
    context = spark.manifest.language.context
    prompt = words(spark, context - new)
    assert isinstance(spark.generate(prompt, max_tokens=new), str)
    assert spark.stats.prompt_tokens == context - new
    with pytest.raises(UsageError, match=rf"{context - new} of {context} .* ask for at most {new}"):
        spark.generate(prompt, max_tokens=new + 1)
    given = ["run", str(tiny), "--prompt", prompt * 2, "--max-tokens", "1"]
    assert f"the context holds {context}" in told(capsys, given, 2)


def test_a_prompt_of_no_tokens_is_refused_where_nothing_stands_before_it(
    stand_in: StandIn,
) -> None:
    language = replace(stand_in.manifest.language, begin=(), template="")
    stand_in.manifest = replace(stand_in.manifest, language=language)
    spark = stand_in.spark()
    with pytest.raises(UsageError, match=r"take 0 positions: the tokenizer .* no token"):
        spark.generate("hi", max_tokens=2)
    assert stand_in.sessions == {}
    spark.generate("hi", rgb=RGB, max_tokens=2)
    assert spark.stats.prompt_tokens == IMAGE
