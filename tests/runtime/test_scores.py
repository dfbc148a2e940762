"""Scores of several variants: on the same samples, prepared once, and beside the reference."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime import chain, inputs, outcomes, scores
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.manifest import Samples
from edgespark.runtime.scores import Judged, Run, judged, reference_of
from tests.runtime.kinds import TRACK
from tests.runtime.lowered_decoder import bundle_of, derive, either
from tests.runtime.narrow import narrowed
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn, file

Array = NDArray[Any]


def all_of(indices: Sequence[int], _title: str) -> nullcontext[Iterable[int]]:
    return nullcontext(indices)


def measured(folder: Path) -> Judged:
    return judged(Bundle.open(folder), all_of, Run(device="cpu"))


@pytest.fixture
def two(stand_in: StandIn, folder: Path) -> Path:
    """Return a bundle with an int8 head that says another label on every second sample."""
    narrowed(stand_in, "head_rgb", "int8")
    honest, calls = stand_in.functions["head_rgb"], iter(range(1000))

    def wrong(given: Mapping[str, Array]) -> dict[str, Array]:
        made = honest(given)
        return {"scores": -made["scores"]} if next(calls) % 2 else made

    stand_in.functions["head_rgb.int8"] = wrong
    return write(stand_in, folder)


def test_every_variant_stands_beside_fp32_in_points_and_in_agreement(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(two), "--scores", "--json"]) in (0, 5)
    made = json.loads(capsys.readouterr().out)
    head, answer = made["scores"]["rgb"]["head"], made["scores"]["rgb"]["answer"]
    assert made["reference"] == "fp32"
    assert set(head["values"]) == {"fp32", "int8"}
    change = 100 * (head["values"]["int8"] - head["values"]["fp32"])
    assert head["differences"] == {"fp32": 0, "int8": pytest.approx(change)}
    assert head["unit_of_differences"] == "points"
    assert head["agreement"]["fp32"] == 1
    assert head["agreement"]["int8"] == 0.5
    assert answer["agreement"] == {"fp32": 1, "int8": 1}


def test_people_read_the_change_and_the_agreement_behind_the_score(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", str(two), "--scores"])
    lines = capsys.readouterr().out.splitlines()
    (line,) = (each for each in lines if each.startswith("rgb answer: int8"))
    assert line.endswith("0.250 accuracy on 4 samples, +0.00 points, 100.0% as fp32 says")


def test_an_error_changes_in_percents_of_the_references(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts(stand_in, folder, off=0.0)
    main(["verify", str(folder), "--scores", "--json"])
    made = json.loads(capsys.readouterr().out)["scores"]["trajectory"]["forecast"]
    values = made["values"]
    assert made["unit_of_differences"] == "percent"
    assert made["differences"]["fp16"] == pytest.approx(100 * (values["fp16"] / values["fp32"] - 1))
    assert made["agreement"] == {}


def test_of_no_error_there_are_no_percents(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts(stand_in, folder, off=None)
    main(["verify", str(folder), "--scores", "--json"])
    made = json.loads(capsys.readouterr().out)["scores"]["trajectory"]["forecast"]
    assert made["values"]["fp32"] == 0
    assert made["differences"] == {"fp32": None, "fp16": None}


def forecasts(stand_in: StandIn, folder: Path, *, off: float | None) -> None:
    """Give the bundle forecasts to be judged by, `off` metres from what it says (None: just it)."""
    said = stand_in.spark().predict(trajectory=TRACK)
    narrowed(stand_in, "walk", "fp16")
    honest = stand_in.functions["walk"]
    stand_in.functions["walk.fp16"] = lambda given: {"scores": honest(given)["scores"] + 0.1}
    target = said if off is None else said + 1 + off
    text = np.array(["?"])
    content = npz(
        {"input": np.asarray(TRACK)[None], "target": target[None], "question": text, "answer": text}
    )
    samples = Samples(modality="trajectory", file=file("samples/trajectory.npz"))
    stand_in.manifest = replace(stand_in.manifest, samples=(samples,))
    write(stand_in, folder, {"samples/trajectory.npz": content})
    (folder / "samples" / "rgb.npz").unlink()


def test_each_sample_is_prepared_once_for_all_variants(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr(chain, "prepare", spying(given, inputs.prepare))
    measured(two)
    assert sum(isinstance(each, np.ndarray) for each in given) == 4


def spying(given: list[object], prepare: Any) -> Any:  # noqa: ANN401 any callable
    def seen(route: Any, value: object, encode: Any) -> object:  # noqa: ANN401 passed on
        given.append(value)
        return prepare(route, value, encode)

    return seen


def test_what_does_not_fit_the_memory_together_gives_the_same_scores(
    two: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = measured(two)
    monkeypatch.setattr(scores, "TOGETHER", 0)
    monkeypatch.setattr(outcomes, "KEPT", 0)
    assert measured(two) == together
    assert all(session.closed for session in stand_in.sessions.values())


def test_a_precision_that_the_device_widens_is_rounded_in_the_chain(
    stand_in: StandIn, folder: Path
) -> None:
    narrowed(stand_in, "head_rgb", "fp16")
    write(stand_in, folder)
    stand_in.programs.clear()
    measured(folder)
    exact = {each.where for each in stand_in.programs if each.exact}
    assert exact == {"graphs/head_rgb.fp16.onnx"}


def test_the_reference_is_the_variant_in_fp32_or_else_the_first(stand_in: StandIn) -> None:
    narrowed(stand_in, "bridge", "int8")
    narrowed(stand_in, "bridge", "int4")
    manifest = stand_in.manifest
    assert reference_of(replace(manifest, variants=manifest.variants[::-1])) == "fp32"
    assert reference_of(replace(manifest, variants=manifest.variants[:0:-1])) == "int4"


def test_scores_are_those_of_the_graphs_that_run_here(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrowed(stand_in, "decoder", "fp16")  # which this device widens: it is emulated
    narrowed(stand_in, "head_rgb", "int8")
    stand_in.functions["decoder"] = either
    bundle = bundle_of(stand_in, folder)
    plain = measured(folder)
    assert plain.lowered == {}
    derive(bundle)
    stand_in.programs.clear()
    found = measured(folder)
    assert found.lowered == {"fp32": ("decoder",), "int8": ("decoder",)}
    assert (found.scores, found.agreement) == (plain.scores, plain.agreement)
    ran = {each.where.split("/")[-1]: each.where for each in stand_in.programs}
    assert ran["decoder.fp32.onnx"].startswith("derived/")
    assert ran["decoder.fp16.onnx"] == "graphs/decoder.fp16.onnx"
    main(["verify", str(folder), "--scores"])
    out = capsys.readouterr().out
    assert "\nscores of fp32: graphs derived for this device ran for decoder\n" in out
