"""The chain as its users see it: what is asked, what comes back, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime import DeviceError, Spark, UsageError, load
from edgespark.runtime.manifest import Manifest, Route
from edgespark.runtime.stats import Record
from tests.runtime.stand_in import BEGIN, LABELS, WIDTH, StandIn, port, score

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
SAR = RGB[:2]
Array = NDArray[Any]


@pytest.fixture
def spark(stand_in: StandIn) -> Spark:
    return stand_in.spark()


def with_route(manifest: Manifest, modality: str, **changes: Any) -> Manifest:  # noqa: ANN401 fields
    def changed(route: Route) -> Route:
        return replace(route, **changes) if route.modality == modality else route

    return replace(manifest, routes=tuple(map(changed, manifest.routes)))


def with_static_bridge(manifest: Manifest, latents: int = 2) -> Manifest:
    tokens = port("tokens", "batch", latents, WIDTH)
    changed = [
        replace(part, outputs=(tokens,)) if part.name == "bridge" else part
        for part in manifest.parts
    ]
    return replace(manifest, parts=tuple(changed))


def log_softmax(logits: Array) -> Array:
    return np.asarray(logits - np.log(np.exp(logits).sum()))


def test_a_stream_joined_is_the_answer(spark: Spark) -> None:
    answer = spark.generate("hi", rgb=RGB, max_tokens=20)
    stream = list(spark.generate("hi", rgb=RGB, max_tokens=20, stream=True))
    assert answer
    assert "".join(stream) == answer
    assert all(stream)


def test_the_same_seed_gives_the_same_text_and_another_seed_another(spark: Spark) -> None:
    def drawn(seed: int) -> str:
        return spark.generate("hi", temperature=2.0, seed=seed, max_tokens=30)

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(5)}) > 1


def test_the_sequence_is_begin_then_each_modality_then_the_template(stand_in: StandIn) -> None:
    spark = stand_in.spark()
    spark.generate("hi", sar=SAR, rgb=RGB, max_tokens=1)
    ids = stand_in.sessions["embedder"].calls[0][0]["input_ids"][0].tolist()
    text = spark._model._tokenizer
    assert ids == [BEGIN, *text.encode("sar:"), *text.encode("rgb:"), *text.encode(" Q:hi A:")]
    rows = stand_in.sessions["decoder"].calls[0][0]["inputs_embeds"][0]
    assert len(rows) == spark.stats.prompt_tokens == len(ids) + 4
    assert (rows[5:7] == spark.embed(sar=SAR)).all()
    assert (rows[11:13] == spark.embed(rgb=RGB)).all()


def test_a_prompt_that_holds_braces_stands_as_it_is(spark: Spark) -> None:
    spark.generate("{prompt} {x}", max_tokens=1)
    plain = spark.stats.prompt_tokens
    spark.generate("a" * len("{prompt} {x}"), max_tokens=1)
    assert spark.stats.prompt_tokens == plain


def test_the_answer_stops_before_a_stop_string_of_the_call_or_of_the_bundle(
    stand_in: StandIn,
) -> None:
    spark = stand_in.spark()
    answer = spark.generate("hi", rgb=RGB, max_tokens=10)
    stop = answer[3]
    expected = answer[: answer.index(stop)].strip()
    assert spark.generate("hi", rgb=RGB, max_tokens=10, stop=(stop,)) == expected
    language = replace(stand_in.manifest.language, stop=(stop,))
    stand_in.manifest = replace(stand_in.manifest, language=language)
    assert stand_in.spark().generate("hi", rgb=RGB, max_tokens=10) == expected


def test_classes_come_with_the_most_probable_first_and_sum_to_one(spark: Spark) -> None:
    scores = spark.classify(rgb=RGB)
    assert set(scores) == set(LABELS)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert math.isclose(sum(scores.values()), 1)


def test_several_heads_are_joined_by_the_mean_of_their_log_probabilities(
    stand_in: StandIn,
) -> None:
    scores = stand_in.spark().classify(rgb=RGB, sar=SAR)
    hidden = [stand_in.sessions[f"head_{m}"].calls[0][0]["hidden"] for m in ("rgb", "sar")]
    rgb, sar = (log_softmax(score(i)({"hidden": h})["scores"][0, 0]) for i, h in enumerate(hidden))
    mean = np.exp(log_softmax((rgb + sar[::-1]) / 2))  # the labels of sar are in reverse
    assert [scores[label] for label in LABELS] == pytest.approx(mean.tolist(), rel=1e-5)
    assert not (hidden[0] == hidden[1]).all()


def test_heads_with_the_same_prompt_share_one_pass(stand_in: StandIn) -> None:
    stand_in.spark().classify(rgb=RGB, sar=SAR)
    assert len(stand_in.sessions["decoder"].calls) == 2
    sar = stand_in.manifest.route("sar").head
    assert sar is not None
    stand_in.manifest = with_route(stand_in.manifest, "sar", head=replace(sar, prompt=" class"))
    stand_in.spark().classify(rgb=RGB, sar=SAR)
    assert len(stand_in.sessions["decoder"].calls) == 1


def test_heads_with_other_labels_cannot_be_joined(stand_in: StandIn) -> None:
    sar = stand_in.manifest.route("sar").head
    assert sar is not None
    other = replace(sar, labels=("ship", "sea", "ice"))
    stand_in.manifest = with_route(stand_in.manifest, "sar", head=other)
    with pytest.raises(UsageError, match="rgb and sar have different labels"):
        stand_in.spark().classify(rgb=RGB, sar=SAR)


def test_a_regression_gives_the_values_of_its_head(spark: Spark) -> None:
    values = spark.predict(range=SAR)
    assert values.dtype == np.float64
    assert values.shape == (2,)


def test_embeddings_stand_in_the_order_given_and_can_be_changed_safely(spark: Spark) -> None:
    both = spark.embed(sar=SAR, rgb=RGB)
    assert both.dtype == np.float32
    assert (both == np.concatenate([spark.embed(sar=SAR), spark.embed(rgb=RGB)])).all()
    kept = spark.embed(rgb=RGB)
    kept[:] = 0
    assert spark.embed(rgb=RGB).any()


def test_text_is_a_modality_too(spark: Spark, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("abc")
    assert spark.embed(language="abc").shape[0] == 3
    assert (spark.embed(language=tmp_path / "note.txt") == spark.embed(language="abc")).all()


def test_a_modality_is_run_once_for_the_same_content_and_again_for_another(
    stand_in: StandIn,
) -> None:
    spark = stand_in.spark()
    spark.generate("hi", rgb=RGB, max_tokens=1)
    assert spark.stats.cached == ()
    spark.classify(rgb=RGB.copy())
    assert spark.stats.cached == ("rgb",)
    assert "encoder_rgb" not in spark.stats.stages
    spark.classify(rgb=RGB + 1)
    assert spark.stats.cached == ()
    assert len(stand_in.sessions["encoder_rgb"].calls) == 2


def test_a_parts_outputs_are_allocated_once_and_results_do_not_change_with_the_next_run(
    stand_in: StandIn,
) -> None:
    stand_in.manifest = with_static_bridge(stand_in.manifest)
    spark = stand_in.spark()
    given = spark.embed(rgb=RGB)
    before = given.copy()
    kept = spark._model.chain.tokens("rgb", RGB, Record())
    other = spark.embed(rgb=RGB + 1)
    assert (other != before).any()
    assert (given == before).all()
    assert (kept == before).all()
    assert (spark.embed(rgb=RGB) == before).all()
    assert spark.stats.cached == ("rgb",)
    for part in ("encoder_rgb", "bridge"):
        first, second = (outputs["tokens"] for _, outputs in stand_in.sessions[part].calls)
        assert first is second


def test_an_output_of_no_known_shape_is_left_to_the_backend(stand_in: StandIn) -> None:
    stand_in.spark().embed(rgb=RGB)
    assert stand_in.sessions["bridge"].calls[0][1] == {}


def test_the_sequence_is_put_together_in_the_same_memory_each_time(stand_in: StandIn) -> None:
    spark = stand_in.spark()
    answer = spark.generate("hello", rgb=RGB, max_tokens=4)
    spark.generate("hi", sar=SAR, max_tokens=1)
    assert spark.generate("hello", rgb=RGB, max_tokens=4) == answer
    calls = [inputs for inputs, _ in stand_in.sessions["decoder"].calls]
    prefills = [each["inputs_embeds"] for each in calls if each["inputs_embeds"].shape[1] > 1]
    begins = [each["position_ids"][0, 0] for each in calls if each["position_ids"].shape[1] > 1]
    row = prefills[0].strides[1]
    first = {each.ctypes.data - at * row for each, at in zip(prefills, begins, strict=True)}
    assert len(first) == 1 < len(prefills)


def test_a_part_whose_outputs_do_not_fit_the_memory_is_told_by_name(stand_in: StandIn) -> None:
    stand_in.manifest = with_static_bridge(stand_in.manifest, 1 << 60)
    with pytest.raises(DeviceError, match=r"part 'bridge': its output 'tokens' .* memory"):
        stand_in.spark().embed(rgb=RGB)


def test_parts_are_read_when_they_are_first_used_and_again_after_a_drop(
    stand_in: StandIn,
) -> None:
    spark = stand_in.spark()
    assert stand_in.reads == ["tokenizer.json"]
    before = spark.generate("hi", rgb=RGB, max_tokens=4)
    assert "graphs/encoder_sar.fp32.onnx" not in stand_in.reads
    encoder, decoder = stand_in.sessions["encoder_rgb"], stand_in.sessions["decoder"]
    spark.drop("encoder_rgb")
    assert (encoder.closed, decoder.closed) == (True, False)
    spark.drop()
    assert decoder.closed
    assert spark.generate("hi", rgb=RGB, max_tokens=4) == before
    assert stand_in.reads.count("graphs/encoder_rgb.fp32.onnx") == 2
    assert "load.encoder_rgb" in spark.stats.stages


def test_stats_tell_what_ran_and_how_much(spark: Spark) -> None:
    masked = np.ma.MaskedArray(RGB, mask=np.zeros_like(RGB, bool))
    masked[:, 0] = np.ma.masked
    spark.generate("hi", rgb=masked, max_tokens=5)
    stats = spark.stats
    assert (stats.device, stats.precision, stats.threads) == ("cpu", "fp32", None)
    assert stats.precisions["decoder"] == "fp32"
    assert stats.valid == {"rgb": 0.75}
    assert 1 <= stats.new_tokens <= 5
    ran = ["tokenise", "prepare.rgb", "load.encoder_rgb", "encoder_rgb", "load.bridge", "bridge"]
    ran += ["load.embedder", "embedder", "assemble", "load.decoder", "decoder.prefill"]
    assert list(stats.stages) == [*ran, "decoder.steps"]
    assert all(ms >= 0 for ms in stats.stages.values())


def test_load_opens_a_bundle_by_its_folder(folder: Path) -> None:
    spark = load(folder, threads=2)
    assert spark.generate("hi", rgb=RGB, max_tokens=4)
    assert (spark.stats.device, spark.stats.threads) == ("cpu", 2)
    assert load(str(folder), precision="fp32", device="cpu").stats.precision == "fp32"


def test_the_real_bundle_answers_and_streams_the_same(tiny: Path) -> None:
    spark = load(tiny)
    with np.load(tiny / "samples" / "rgb.npz") as samples:
        image, question = samples["input"][0], str(samples["question"][0])
    answer = spark.generate(question, rgb=image, max_tokens=16)
    stream = spark.generate(question, rgb=image, max_tokens=16, stream=True)
    assert "".join(stream) == answer
    assert math.isclose(sum(spark.classify(rgb=image).values()), 1)


def test_the_real_bundle_tells_something_of_each_of_its_modalities(tiny: Path) -> None:
    spark = load(tiny)
    for samples in spark.manifest.samples:
        with np.load(tiny / samples.file.path) as arrays:
            given: dict[str, Any] = {samples.modality: arrays["input"][0]}
        head = spark.manifest.route(samples.modality).head
        assert spark.embed(**given).shape[-1] > 0
        if head is not None and head.labels:
            assert set(spark.classify(**given)) == set(head.labels)
        elif head is not None:
            made = spark.predict(**given)
            assert np.isfinite(made).all()
            assert made.shape == (head.shape or made.shape)


def test_the_real_bundle_keeps_each_result_apart(tiny: Path) -> None:
    spark = load(tiny)
    with np.load(tiny / "samples" / "rgb.npz") as samples:
        first, second = samples["input"][:2]
    before = spark.embed(rgb=first)
    assert (spark.embed(rgb=second) != before).any()
    assert (spark.embed(rgb=first) == before).all()
    assert spark.stats.cached == ("rgb",)
    spark.drop()
    assert (spark.embed(rgb=first) == before).all()
    assert spark.stats.cached == ()
