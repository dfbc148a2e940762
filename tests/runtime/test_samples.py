"""Held-out samples of a bundle: what they score, and that what is wrong is the bundle's fault."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.cli import main
from edgespark.runtime.held_out import INPUTS
from edgespark.runtime.manifest import Head, Metric, Samples
from edgespark.runtime.preprocessing import Table, Text
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn, file

HONEST: dict[str, Any] = {
    "input": np.ones((2, 3, 4, 4), np.float32),
    "label": np.array([0, 1]),
    "question": np.array(["what?", "where?"]),
    "answer": np.array(["a", "b"]),
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": np.zeros((2, 2), int)}, "'label' does not hold one value per sample"),
        ({"question": np.array([1, 2])}, "'question' does not hold one value per sample"),
        ({"answer": np.array([b"a", b"b"])}, "'answer' does not hold one value per sample"),
        ({"question": np.array(["what?", " "])}, "sample 1 of rgb: the prompt is empty"),
        ({"question": np.array(["a" * 99, "b"])}, "sample 0 of rgb: prompt and inputs take"),
        ({"input": np.ones((2, 3, 4, 4))}, "sample 0 of rgb: rgb: array (3, 4, 4): holds float64"),
        ({"input": np.array(["/etc/a.tif", "b.npy"])}, "'input' holds <U10; expected numbers"),
        ({"input": np.array([b"/etc/a.tif", b"b"])}, "'input' holds |S10; expected numbers"),
        ({"input": np.ones(2, np.float32)}, "sample 0 of rgb: rgb: array (): has shape ()"),
    ],
)
def test_samples_that_no_call_could_take_are_a_broken_bundle(
    stand_in: StandIn,
    folder: Path,
    changed: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(stand_in, folder, {"samples/rgb.npz": npz({**HONEST, **changed})})
    assert main(["verify", str(folder), "--scores"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize(
    ("kind", "array", "said"),
    [
        (Table, np.array(["a.csv", "b.csv"]), "is <U5 [2]; expected cells [n, rows, columns]"),
        (Table, np.array([["a.csv"], ["b"]]), "is <U5 [2, 1]; expected cells"),
        (Table, np.array([[["1", "x"]], [["2", "y"]]]), ""),
        (Text, np.array([["a"], ["b"]]), "does not hold one value per sample"),
        (Text, np.array(["a", "@/etc/passwd"]), ""),
    ],
)
def test_cells_and_texts_are_text_and_name_no_file(kind: type, array: Any, said: str) -> None:  # noqa: ANN401 cases
    problems = list(INPUTS[kind]("input", array, None))
    assert len(problems) == bool(said)
    assert all(said in problem for problem in problems)


IMAGES = np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)
AWAY = np.array([[[3.0, 4.0]], [[0.0, 1.0]], [[0.0, 0.0]]])
TEXTS = np.array(["?"] * 3)


def forecasting(
    stand_in: StandIn,
    metrics: tuple[Metric, ...] = ("ADE", "FDE"),
    shape: tuple[int, ...] = (1, 2),
) -> None:
    """Let the modality `range` forecast one position, and have samples."""
    depth = stand_in.manifest.route("range").head
    assert depth is not None
    _give(stand_in, replace(depth, shape=shape, metrics=metrics))


def _give(stand_in: StandIn, head: Head | None) -> None:
    routes = [
        replace(route, head=head) if route.modality == "range" else route
        for route in stand_in.manifest.routes
    ]
    held = Samples(modality="range", file=file("samples/range.npz"))
    stand_in.manifest = replace(
        stand_in.manifest,
        routes=tuple(routes),
        samples=(*stand_in.manifest.samples, held),
    )


def scored(stand_in: StandIn, folder: Path, arrays: Mapping[str, Any]) -> int:
    held = {"input": IMAGES, "question": TEXTS, "answer": TEXTS, **arrays}
    write(stand_in, folder, {"samples/range.npz": npz(held)})
    return main(["verify", str(folder), "--scores", "--json"])


def predictions(stand_in: StandIn) -> Any:  # noqa: ANN401 an array
    spark = stand_in.spark()
    return np.stack([spark.predict(range=image) for image in IMAGES])


def test_a_forecast_is_scored_by_each_of_its_metrics(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasting(stand_in)
    assert scored(stand_in, folder, {"target": predictions(stand_in) + AWAY}) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]["range"]
    assert list(scores) == ["forecast", "forecast_fde", "answer"]
    assert scores["forecast"]["metric"] == "ADE"
    assert scores["forecast_fde"]["metric"] == "FDE"
    assert scores["answer"]["metric"] == "accuracy"
    for task in ("forecast", "forecast_fde"):
        assert scores[task]["n"] == 3
        assert scores[task]["higher_is_better"] is False
        assert scores[task]["values"]["fp32"] == pytest.approx(2.0)


def test_a_forecast_without_a_metric_has_only_its_answers_scored(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasting(stand_in, ())
    assert scored(stand_in, folder, {"target": np.zeros((3, 1, 2))}) == 0
    assert list(json.loads(capsys.readouterr().out)["scores"]["range"]) == ["answer"]


def test_a_modality_without_a_head_needs_neither_labels_nor_targets(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _give(stand_in, None)
    assert scored(stand_in, folder, {}) == 0
    assert list(json.loads(capsys.readouterr().out)["scores"]["range"]) == ["answer"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "has no array 'target'"),
        ({"label": np.zeros(3)}, "has no array 'target'"),
        ({"target": np.zeros((2, 1, 2))}, "differ in length"),
        ({"target": np.zeros((3, 2))}, r"'target' has shape [3, 2]; expected [n, 1, 2]"),
        ({"target": np.full((3, 1, 2), np.nan)}, "'target' does not hold finite numbers"),
        ({"target": np.full((3, 1, 2), "1")}, "'target' does not hold finite numbers"),
    ],
)
def test_targets_that_no_forecast_can_be_judged_by_are_a_broken_bundle(
    stand_in: StandIn,
    folder: Path,
    arrays: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forecasting(stand_in)
    assert scored(stand_in, folder, arrays) == 3
    assert said in capsys.readouterr().err


def test_a_target_of_another_size_than_a_head_without_a_shape_gives_is_a_broken_bundle(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasting(stand_in, ("MAE",), shape=())
    assert scored(stand_in, folder, {"target": np.zeros((3, 1))}) == 3
    assert "sample 0 of range: target (1,) is no prediction (2,)" in capsys.readouterr().err
