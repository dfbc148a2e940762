"""Derived graphs in the chain: they run where they lie, and give what the portable ones give."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime import BundleError, DeviceError, EdgesparkWarning, load
from edgespark.runtime.backends import backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.stats import Stats
from tests.runtime import lowered_decoder
from tests.runtime.lowered_decoder import either
from tests.runtime.stand_in import Array, Arrays, StandIn

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _both_forms(stand_in: StandIn) -> None:
    stand_in.functions["decoder"] = either


def derive(folder: Path) -> Path:
    return lowered_decoder.derive(Bundle.open(folder))


def test_a_lowered_decoder_runs_where_it_lies_and_answers_the_same(
    folder: Path, stand_in: StandIn
) -> None:
    plain = load(folder)
    wanted = plain.generate("hi", rgb=RGB, max_tokens=20), plain.classify(rgb=RGB)
    assert plain.stats.lowered == ()
    derive(folder)
    spark = load(folder)
    assert spark.stats.lowered == ()  # nothing was opened yet
    found = spark.generate("hi", rgb=RGB, max_tokens=20), spark.classify(rgb=RGB)
    assert found[0] == wanted[0]
    assert found[1] == pytest.approx(wanted[1], rel=1e-5)
    assert spark.stats.lowered == ("decoder",)
    assert [each.where for each in stand_in.programs if each.steady][-1].startswith("derived/")


def test_portable_keeps_to_the_bundles_own_graphs(folder: Path, stand_in: StandIn) -> None:
    derive(folder)
    spark = load(folder, portable=True)
    spark.generate("hi", max_tokens=2)
    assert spark.stats.lowered == ()
    assert not any(each.where.startswith("derived/") for each in stand_in.programs)


def test_a_graph_for_a_newer_engine_is_passed_over_with_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive(folder)
    monkeypatch.setattr(backend("onnxruntime"), "version", lambda: "1.20.1")
    spark = load(folder)
    with pytest.warns(EdgesparkWarning, match=r"needs onnxruntime 1\.31 .*portable"):
        answer = spark.generate("hi", max_tokens=4)
    assert answer == load(folder, portable=True).generate("hi", max_tokens=4)
    assert spark.stats.lowered == ()


def test_a_derived_graph_that_was_changed_is_refused(folder: Path) -> None:
    (derive(folder) / "decoder.fp32.onnx").write_bytes(b"another decoder!!\n")
    with pytest.raises(BundleError, match="was changed"):
        load(folder).generate("hi", max_tokens=4)


def test_a_step_of_a_lowered_decoder_is_bound_once_and_nothing_else_changes(
    folder: Path, stand_in: StandIn
) -> None:
    derive(folder)
    spark = load(folder)
    spark.generate("hi", max_tokens=6)
    spark.generate("hello", max_tokens=6)
    for part, name in (("decoder", "inputs_embeds"), ("embedder", "input_ids")):
        calls = stand_in.sessions[part].calls
        steps = [(given, made) for given, made in calls if given[name].shape[1] == 1 and made]
        assert len(steps) > 8
        for side in (0, 1):
            addresses = [
                {port: array.ctypes.data for port, array in step[side].items()} for step in steps
            ]
            assert all(each == addresses[0] for each in addresses)


def test_past_and_new_of_a_lowered_decoder_are_one_memory(folder: Path, stand_in: StandIn) -> None:
    derive(folder)
    load(folder).generate("hi", max_tokens=3)
    for given, made in stand_in.sessions["decoder"].calls:
        assert given["past.0"].ctypes.data == made["new.0"].ctypes.data


@pytest.mark.parametrize("dropped", ["embedder", "decoder", None])
def test_a_part_that_was_dropped_is_bound_again(folder: Path, dropped: str | None) -> None:
    derive(folder)
    spark = load(folder)
    answer = spark.generate("hi", rgb=RGB, max_tokens=6)
    spark.drop(dropped)
    assert spark.generate("hi", rgb=RGB, max_tokens=6) == answer


def test_what_is_derived_after_a_part_was_opened_runs_after_it_was_dropped(folder: Path) -> None:
    spark = load(folder)
    before = spark.generate("hi", max_tokens=4)
    derive(folder)
    assert spark.generate("hi", max_tokens=4) == before
    assert spark.stats.lowered == ()
    spark.drop("decoder")
    assert spark.generate("hi", max_tokens=4) == before
    assert spark.stats.lowered == ("decoder",)


def test_stats_tell_what_the_cpu_can_do(folder: Path) -> None:
    stats: Stats = load(folder).stats
    assert all(isinstance(each, str) for each in stats.instructions)


def test_steps_of_all_lengths_share_one_memory_for_their_logits(
    folder: Path, stand_in: StandIn
) -> None:
    def cycling(given: Mapping[str, Array]) -> Arrays:
        """Say a, b, c again and again, but for a d now and then, by position."""
        made = either(given)
        places = int(given["total_sequence_length"]) - given["inputs_embeds"].shape[1]
        for row, place in zip(made["logits"][0], places + given["select"], strict=True):
            row[:] = 0
            row[68 if place % 7 == 0 else 65 + place % 3] = 1
        return made

    stand_in.functions["decoder"] = cycling
    derive(folder)
    spark = load(folder)
    lengths = set[int]()
    for most in (2, 5, 3):
        before = len(stand_in.sessions["decoder"].calls) if stand_in.sessions else 0
        spark.generate("hello", max_tokens=50, prompt_lookup=most)
        calls = stand_in.sessions["decoder"].calls[before:]
        lengths |= {given["inputs_embeds"].shape[1] for given, _ in calls}
        assert len({made["logits"].ctypes.data for _, made in calls}) == 1
    assert len(lengths) > 3
    loop = spark._model._loop
    assert loop is not None
    loop._decoder.keep(0)
    assert len({step.run().ctypes.data for step in loop._steps.values()}) == 1


def test_an_embedder_that_gives_no_numbers_in_a_bound_step_is_named(
    folder: Path, stand_in: StandIn
) -> None:
    honest = stand_in.functions["embedder"]

    def overflow(given: Mapping[str, Array]) -> Arrays:
        broken = given["input_ids"].shape[1] == 1
        return {"embeds": honest(given)["embeds"] * np.float32(np.nan if broken else 1)}

    stand_in.functions["embedder"] = overflow
    derive(folder)
    with pytest.raises(DeviceError, match="embedder gave embeds that are not finite"):
        load(folder).generate("hi", max_tokens=4)


def test_stats_are_told_while_another_thread_drops_parts(folder: Path) -> None:
    derive(folder)
    spark = load(folder)
    spark.generate("hi", max_tokens=2)
    spark._model._parts._sources.clear()  # as `drop` leaves it for a moment
    assert spark.stats.lowered == ("decoder",)
