"""What a Spark refuses: values that cannot be, in words that say what to do."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime import (
    BundleError,
    DeviceError,
    InputError,
    MissingInput,
    Spark,
    UnknownModality,
    UsageError,
    load,
)
from edgespark.runtime._check import RESERVED_MODALITIES
from tests.runtime.stand_in import CONTEXT, WIDTH, StandIn

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
SAR = RGB[:2]
FRAME = len("^ Q: A:")  # positions around a prompt, the begin among them


@pytest.fixture
def spark(stand_in: StandIn) -> Spark:
    return stand_in.spark()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"prompt": 3}, "must be a str, got int"),
        ({"prompt": "\ud800"}, "UTF-8"),
        ({"max_tokens": 0}, "max_tokens must be an integer >= 1, got 0"),
        ({"max_tokens": -3}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 10**400}, r"temperature .* got 1000.*\.\.\."),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"stop": "###"}, "several strings"),
        ({"stop": None}, "several strings"),
        ({"stop": ("a", "")}, "not empty"),
        ({"stop": (3,)}, "not empty"),
        ({"stream": "yes"}, "stream must be True or False"),
        (
            {"max_tokens": CONTEXT},
            f"of {CONTEXT} positions, so that {CONTEXT} new .* at most {CONTEXT - FRAME - 2}",
        ),
        ({"prompt": "a" * 200}, f"take {200 + FRAME} positions, the context holds {CONTEXT}"),
        ({"prompt": "a" * (CONTEXT - FRAME)}, "shorten the prompt"),
        ({"prompt": "a" * 10**6}, "has 1000000 characters, the context holds 96 tokens"),
    ],
)
def test_values_that_cannot_be_are_wrong_use_and_run_nothing(
    stand_in: StandIn, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        stand_in.spark().generate(**{"prompt": "hi", "max_tokens": 4, **options})
    assert stand_in.sessions == {}


def test_a_prompt_that_cannot_fit_is_refused_before_an_input_is_read(stand_in: StandIn) -> None:
    with pytest.raises(UsageError, match=r"take at least \d+ positions, the context holds"):
        stand_in.spark().generate("a" * CONTEXT, rgb="nowhere.tif")
    assert stand_in.sessions == {}


def test_a_prompt_may_fill_the_context_to_its_last_position(spark: Spark) -> None:
    spark.generate("a" * (CONTEXT - FRAME - 4), max_tokens=4)
    assert spark.stats.prompt_tokens == CONTEXT - 4


@pytest.mark.parametrize(
    "call",
    [
        lambda spark: spark.generate("hi", rgbb=RGB),
        lambda spark: spark.classify(rgbb=RGB),
        lambda spark: spark.predict(rgbb=RGB),
        lambda spark: spark.embed(rgbb=RGB),
    ],
)
def test_an_unknown_modality_names_the_near_one_and_all(
    spark: Spark, call: Callable[[Spark], object]
) -> None:
    with pytest.raises(UnknownModality, match=r"'rgbb' \(did you mean 'rgb'\?\).*language"):
        call(spark)


def test_no_modality_can_be_named_as_a_keyword_of_generate() -> None:
    parameters = inspect.signature(Spark.generate).parameters.values()
    assert [each.name for each in parameters if each.kind is each.VAR_KEYWORD] == ["modalities"]
    taken = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    assert taken == ["self", *RESERVED_MODALITIES]


def test_a_modality_called_self_is_just_another_unknown_one(spark: Spark) -> None:
    with pytest.raises(UnknownModality, match="'self'"):
        spark.classify(self=RGB)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda spark: spark.classify(), "no input for classification; .* rgb, sar, p.* can"),
        (lambda spark: spark.classify(language="x"), "language has no classification head"),
        (lambda spark: spark.classify(rgb=RGB, range=SAR), "range has no classification head"),
        (lambda spark: spark.predict(rgb=RGB), "rgb has no regression head; .* range, t.* can"),
        (lambda spark: spark.predict(), "no input for regression"),
        (lambda spark: spark.predict(range=SAR, trajectory=0), "one modality, got range, traj"),
        (lambda spark: spark.classify(trajectory=0), "trajectory has no classification head"),
        (lambda spark: spark.predict(table=0), "table has no regression head"),
        (lambda spark: spark.embed(), "at least one modality"),
        (lambda spark: spark.drop("encoder"), "no part 'encoder' to drop; there are: encoder_rgb"),
    ],
)
def test_what_a_bundle_cannot_do_is_wrong_use(
    spark: Spark, call: Callable[[Spark], object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        call(spark)


def test_a_bad_input_leaves_the_spark_as_it_was(spark: Spark) -> None:
    before = spark.generate("hi", rgb=RGB, max_tokens=4)
    with pytest.raises(InputError):
        spark.generate("hi", rgb=RGB[:1], max_tokens=4)
    with pytest.raises(InputError):
        spark.generate("hi", rgb=RGB[:1], max_tokens=4, stream=True)
    assert spark.generate("hi", rgb=RGB, max_tokens=4) == before


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("encoder_rgb", "tokens"),
        ("bridge", "tokens"),
        ("embedder", "embeds"),
        ("decoder", "logits"),
        ("head_rgb", "scores"),
    ],
)
def test_values_that_overflow_name_the_part(stand_in: StandIn, part: str, name: str) -> None:
    honest = stand_in.functions[part]
    stand_in.functions[part] = lambda given: {**honest(given), name: honest(given)[name] * np.nan}
    with pytest.raises(DeviceError, match=f"{part} gave"):
        stand_in.spark().classify(rgb=RGB)


@pytest.mark.parametrize(
    ("part", "name", "shape"),
    [
        ("embedder", "embeds", (1, 1, WIDTH)),  # one row for several ids
        ("embedder", "embeds", (1, 9)),
        ("bridge", "tokens", (2, 2, WIDTH)),
        ("bridge", "tokens", (1, 2, WIDTH + 1)),
        ("head_rgb", "scores", (1, 0, 3)),
        ("head_rgb", "scores", (2, 2, 3)),
        ("head_rgb", "scores", ()),
    ],
)
def test_a_graph_that_gives_another_shape_than_promised_is_a_broken_bundle(
    stand_in: StandIn, part: str, name: str, shape: tuple[int, ...]
) -> None:
    stand_in.functions[part] = lambda _: {name: np.zeros(shape, np.float32)}
    with pytest.raises(BundleError, match=rf"{part}.*gave '{name}' of shape"):
        stand_in.spark().classify(rgb=RGB)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"precision": "fp61"}, UsageError, "no precision 'fp61'.*this bundle has: fp32"),
        ({"precision": 16}, UsageError, "no precision 16"),
        ({"precision": []}, UsageError, "no precision"),
        ({"device": "cuda"}, DeviceError, "runs on cpu only"),
        ({"device": "gpu"}, UsageError, "no device 'gpu'"),
        ({"threads": 0}, UsageError, "threads must be an integer >= 1, got 0"),
        ({"threads": 10**6}, UsageError, "threads must be at most"),
        ({"threads": "2"}, UsageError, "threads"),
    ],
)
def test_load_refuses_what_cannot_be(
    folder: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        load(folder, **options)


def test_load_of_no_folder_is_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_graph_that_changed_after_load_is_refused_when_it_is_first_used(folder: Path) -> None:
    spark = load(folder)
    (folder / "graphs" / "encoder_rgb.fp32.onnx").write_bytes(b"graph of encoder_rgB\n")
    with pytest.raises(ValueError, match=r"encoder_rgb\.fp32\.onnx.*was changed"):
        spark.classify(rgb=RGB)
