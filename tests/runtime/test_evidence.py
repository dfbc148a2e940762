"""What a bundle says of its own scores: shown beside what `verify` measured, and apart from it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgespark.runtime.cli import main
from edgespark.runtime.manifest import Score
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


def with_evidence(stand_in: StandIn, folder: Path, *, metric: str = "accuracy") -> None:
    """Let the bundle say of itself what its head scored once, and a simpler method."""
    once = Score(
        modality="rgb",
        task="head",
        metric=metric,
        higher_is_better=True,
        n=2000,
        values={"fp32": 0.9},
        baselines={"most frequent": 0.4, "by colour": 0.55},
    )
    evidence = replace(stand_in.manifest.evidence, scores=(once,))
    stand_in.manifest = replace(stand_in.manifest, evidence=evidence)
    write(stand_in, folder)


def test_what_the_bundle_says_of_itself_stands_beside_what_was_measured_and_apart_from_it(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_evidence(stand_in, folder)
    assert main(["verify", str(folder), "--json", "--scores"]) == 0
    head = document(capsys)["scores"]["rgb"]["head"]
    assert (head["n"], head["values"]) == (4, {"fp32": 0.75})
    assert head["evidence"] == {"n": 2000, "values": {"fp32": 0.9}}
    assert head["baselines"] == {"most frequent": 0.4, "by colour": 0.55}

    assert main(["verify", str(folder), "--scores"]) == 0
    told = capsys.readouterr().out.splitlines()[-3:]
    assert told == [
        "rgb head: fp32 0.750 accuracy on 4 samples",
        "  when it was made, on 2000 samples: fp32 0.900; simpler methods on the same: "
        "most frequent 0.400, by colour 0.550",
        "rgb answer: fp32 0.250 accuracy on 4 samples",
    ]


def test_evidence_by_another_metric_is_not_compared(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_evidence(stand_in, folder, metric="F1\nok: 1.000")
    assert main(["verify", str(folder), "--scores"]) == 0
    assert "when it was made" not in capsys.readouterr().out


def test_evidence_without_a_run_of_the_samples_is_never_shown(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_evidence(stand_in, folder)
    assert main(["verify", str(folder), "--json"]) == 0
    assert "scores" not in document(capsys)


def test_a_baselines_name_cannot_add_a_line(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_evidence(stand_in, folder)
    (once,) = stand_in.manifest.evidence.scores
    forged = replace(once, baselines={"x\nrgb head: fp32 1.000": 0.0})
    evidence = replace(stand_in.manifest.evidence, scores=(forged,))
    stand_in.manifest = replace(stand_in.manifest, evidence=evidence)
    write(stand_in, folder)
    assert main(["verify", str(folder), "--scores"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("rgb head")] == [
        "rgb head: fp32 0.750 accuracy on 4 samples"
    ]
