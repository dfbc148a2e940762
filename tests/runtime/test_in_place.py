"""Lowered decoders are held against the references of portable ones, in all they give."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.codes import coded
from edgespark.runtime.derived import CACHE
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import BundleError
from edgespark.runtime.in_place import feeds, laid
from edgespark.runtime.reference import Probe, probes
from edgespark.runtime.verify import Form, forms, row, shortest
from tests.runtime.lowered_decoder import STEP, bundle_of, derive, either, lowered, record
from tests.runtime.stand_in import Array, Arrays, FakeSession, StandIn

CPU = DEVICES["cpu"]


@pytest.fixture
def bundle(stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.delenv(CACHE, raising=False)
    stand_in.functions["decoder"] = either
    return bundle_of(stand_in, folder)


def references(bundle: Bundle) -> tuple[Probe, ...]:
    decoder = bundle.manifest.part("decoder")
    return probes(bundle, decoder, decoder.graphs[0])


def test_every_sequence_of_a_batch_is_fed_alone_and_given_back_in_the_portable_layout(
    bundle: Bundle,
) -> None:
    decoder = bundle.manifest.part("decoder")
    made = record(decoder, decoder.graphs[0])
    for probe in references(bundle):
        session = FakeSession(lowered)
        outputs = laid(session, probe, made).outputs()
        assert len(session.calls) == probe.inputs["inputs_embeds"].shape[0]
        for inputs, given in session.calls:
            assert inputs["past.0"] is given["new.0"]
        for name, wanted in probe.outputs.items():
            assert outputs[name].shape == wanted.shape
            np.testing.assert_allclose(outputs[name], wanted, rtol=1e-5, atol=1e-6)


def test_a_lowered_decoder_may_keep_codes(bundle: Bundle) -> None:
    decoder = bundle.manifest.part("decoder")
    made = record(decoder, decoder.graphs[0], step=STEP)
    state = made.states[0]

    def with_codes(given: Mapping[str, Array]) -> Arrays:
        memory = given["past.0"]
        assert memory.dtype == np.int8
        whole = {**given, "past.0": (memory * np.float32(STEP)).astype(np.float32)}
        outputs = lowered(whole)
        memory[...] = coded({"past.0": outputs["new.0"]}, (state,))["past.0"]
        return {**outputs, "new.0": memory}

    for probe in references(bundle):
        outputs = laid(FakeSession(with_codes), probe, made).outputs()
        wanted = probe.outputs["new.0"]
        inside = np.abs(wanted) < 127 * STEP
        assert np.abs(outputs["new.0"] - wanted)[inside].max() <= STEP / 2
        assert np.all(outputs["new.0"] / STEP == np.rint(outputs["new.0"] / STEP))


def test_codes_of_a_portable_graph_come_into_memory_as_they_are(bundle: Bundle) -> None:
    decoder = bundle.manifest.part("decoder")
    portable = replace(decoder.graphs[0].states[0], step=0.5)
    first = references(bundle)[0]
    past = first.inputs["past.0"]
    codes = np.arange(past.size).reshape(past.shape).astype(np.int8) - 60
    probe = replace(first, inputs={**first.inputs, "past.0": codes}, states=(portable,))
    same = feeds(record(decoder, decoder.graphs[0], step=0.5), probe)
    wide = feeds(record(decoder, decoder.graphs[0]), probe)
    for row_of, (kept, floats) in enumerate(zip(same, wide, strict=True)):
        rows = codes[:, row_of].transpose(1, 0, 2)
        assert (kept.inputs["past.0"][0, :, : len(codes)] == rows).all()
        assert (floats.inputs["past.0"][0, :, : len(codes)] == rows * np.float32(0.5)).all()


def test_probes_that_a_lowered_decoder_cannot_take_are_told(bundle: Bundle) -> None:
    decoder = bundle.manifest.part("decoder")
    made = record(decoder, decoder.graphs[0])
    probe = references(bundle)[0]
    shifted = replace(
        probe, inputs={**probe.inputs, "position_ids": probe.inputs["position_ids"] + 1}
    )
    with pytest.raises(BundleError, match="the positions of a probe are not 3 to 7"):
        feeds(made, shifted)
    embeddings = np.zeros((1, 94, 16), np.float32)
    longer = replace(probe, inputs={**probe.inputs, "inputs_embeds": embeddings})
    with pytest.raises(BundleError, match="a probe has 97 positions, its context holds 96"):
        feeds(made, longer)


def test_verify_has_a_row_for_each_form(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    derive(bundle)
    derive(bundle, part="bridge")
    assert main(["verify", str(bundle.root), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["parts"]
    assert len(made) == len(bundle.manifest.parts) + 2
    both = {each["form"]: each for each in made if each["name"] == "decoder"}
    assert list(both) == ["portable", "cpu-2"]
    assert both["cpu-2"]["error"] < 1e-5
    assert both["cpu-2"]["bytes"] < both["portable"]["bytes"] + 100
    assert main(["verify", str(bundle.root)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["decoder", "fp32", "cpu-2"] in [line[:3] for line in lines]


def test_a_lowered_decoder_that_differs_in_anything_it_gives_falls_short(
    bundle: Bundle, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    derive(bundle)

    def off_by_one_row(given: Mapping[str, Array]) -> Arrays:
        made = either(given)
        if "seqlens_k" in given and int(given["total_sequence_length"]) == 7:
            made["new.0"][0, 0, 6, 0] += 0.01
        return made

    stand_in.functions["decoder"] = off_by_one_row
    assert main(["verify", str(bundle.root), "--json"]) == 5
    out, err = capsys.readouterr()
    assert [p["form"] for p in json.loads(out)["parts"] if not p["ok"]] == ["cpu-2"]
    assert "decoder fp32 cpu-2: " in err


def test_changed_derived_bytes_are_a_broken_bundle_before_anything_runs(
    bundle: Bundle, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    (derive(bundle) / "decoder.fp32.onnx").write_bytes(b"another graph")
    assert main(["verify", str(bundle.root)]) == 3
    assert "delete this folder" in capsys.readouterr().err
    assert stand_in.sessions == {}


def test_what_the_engine_is_too_old_for_is_not_measured_and_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    derive(bundle)
    module: Any = __import__("stand_in_backend")
    monkeypatch.setattr(module, "version", lambda: "1.20.0")
    assert main(["verify", str(bundle.root), "--json"]) == 0
    out, err = capsys.readouterr()
    assert {each["form"] for each in json.loads(out)["parts"]} == {"portable"}
    assert "warning: not measured: cpu-2 of decoder fp32 needs onnxruntime 1.31" in err


def test_the_shortest_probe_is_a_step(bundle: Bundle, stand_in: StandIn) -> None:
    assert shortest(references(bundle)).inputs["inputs_embeds"].shape[1] == 1
    derive(bundle)
    (form,) = (each for each in forms(bundle, CPU) if each.found is not None)
    stand_in.sessions.clear()
    assert row(bundle, CPU, form, timed=shortest).ok
    timed = [given["inputs_embeds"].shape[1] for given, _ in stand_in.sessions["decoder"].calls]
    assert timed == [5, 5, 7, *[1] * 6]
    portable = Form(part=form.part, graph=form.graph)
    assert (portable.name, form.name) == ("portable", "cpu-2")


def test_every_form_of_the_decoder_is_measured_with_the_threads_that_it_runs_with(
    bundle: Bundle, stand_in: StandIn
) -> None:
    derive(bundle)
    stand_in.programs.clear()
    for form in forms(bundle, CPU):
        if form.part.role in {"decoder", "embedder"}:
            row(bundle, CPU, form)
    steady = {each.where: each.steady for each in stand_in.programs}
    assert len(steady) == 3
    assert all(told == ("decoder" in where) for where, told in steady.items())
