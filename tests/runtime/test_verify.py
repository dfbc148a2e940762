"""Verify: what it measures, what it refuses, and that it falls short aloud."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import BundleError
from edgespark.runtime.reference import arrays, probes
from edgespark.runtime.verify import check_files, distance, graphs, rows
from tests.runtime.narrow import narrowed
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn

CPU = DEVICES["cpu"]
Array = NDArray[Any]
MEDIA = {"0.in.media": np.zeros((1, 2, 3), np.float32)}
WHOLE = {**MEDIA, "0.out.tokens": np.zeros((1, 2, 16), np.float32)}


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([1.0, 3.0], 0.0),
        ([1.0, 3.5], 0.5),
        ([np.nan, 3.0], inf),
        ([np.inf, 3.0], inf),
        ([1.0], inf),
        ([[1.0, 3.0]], inf),
    ],
)
def test_the_distance_is_the_greatest_difference_in_standard_deviations(
    output: list[float], expected: float
) -> None:
    assert distance(np.array(output, np.float32), np.array([1, 3], np.float32)) == expected


def test_a_constant_reference_must_be_met_exactly() -> None:
    constant = np.ones(3, np.float32)
    assert distance(constant, constant) == 0
    assert distance(constant + 1e-6, constant) == inf
    assert distance(constant[:0], constant[:0]) == 0


def test_a_reference_that_is_not_finite_can_never_be_met() -> None:
    for value in (np.nan, np.inf):
        assert distance(np.ones(2), np.array([1, value])) == inf


def test_every_graph_of_an_honest_bundle_is_within_its_limit(folder: Path) -> None:
    bundle = Bundle.open(folder)
    check_files(bundle)
    found = list(rows(bundle, CPU))
    assert [row.name for row in found] == [part.name for part in bundle.manifest.parts]
    assert len(found) == len(graphs(bundle))
    assert all(row.ok and row.error == 0 and row.how == "native" for row in found)
    assert found[0].bytes == len(b"graph of encoder_rgb\n")


def test_a_graph_that_gives_other_values_falls_short_with_exit_code_5(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["bridge"]
    stand_in.functions["bridge"] = lambda given: {"tokens": honest(given)["tokens"] + 0.01}
    assert main(["verify", str(folder), "--json"]) == 5
    made = document(capsys)
    assert made["ok"] is False
    assert [part["name"] for part in made["parts"] if not part["ok"]] == ["bridge"]
    assert main(["verify", str(folder)]) == 5
    out, err = capsys.readouterr()
    assert "NO" in out
    assert "bridge fp32: " in err
    assert "its limit in this bundle is" in err


def test_an_error_that_is_not_finite_is_null_in_json(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["bridge"]
    stand_in.functions["bridge"] = lambda given: {"tokens": honest(given)["tokens"] * np.nan}
    assert main(["verify", str(folder), "--json"]) == 5
    assert [p["error"] for p in document(capsys)["parts"] if p["name"] == "bridge"] == [None]


def test_what_overflows_is_shown_in_place_of_scores(
    folder: Path, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["bridge"]
    stand_in.functions["bridge"] = lambda given: {"tokens": honest(given)["tokens"] * np.inf}
    made = tmp_path / "made.md"
    assert main(["verify", str(folder), "--json", "--scores", "--markdown", str(made)]) == 5
    out, err = capsys.readouterr()
    assert "scores" not in json.loads(out)
    assert "no scores were measured, as some graphs failed on their references: bridge fp32" in err
    assert "| bridge | fp32 | portable | inf |" in made.read_text()


def test_an_overflow_on_held_out_data_names_the_variant_and_the_sample(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["bridge"]
    probes = arrays(Bundle.open(folder), Bundle.open(folder).manifest.part("bridge").reference)
    known = [each for name, each in probes.items() if name.endswith(".in.media")]

    def overflows(given: Mapping[str, Array]) -> dict[str, Array]:
        seen = any(np.array_equal(given["media"], each) for each in known)
        return {"tokens": honest(given)["tokens"] * (1 if seen else np.inf)}

    stand_in.functions["bridge"] = overflows
    assert main(["verify", str(folder), "--scores"]) == 4
    told = capsys.readouterr().err
    assert "fp32, held-out sample 0 of rgb: bridge gave tokens that are not finite" in told


def test_sessions_are_closed_when_their_part_is_done(folder: Path, stand_in: StandIn) -> None:
    list(rows(Bundle.open(folder), CPU))
    assert all(session.closed for session in stand_in.sessions.values())


def test_a_changed_byte_is_told_before_anything_runs(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reference" / "bridge.npz").write_bytes(b"x")
    (folder / "extra.bin").write_bytes(b"x")
    assert main(["verify", str(folder)]) == 3
    told = capsys.readouterr().err
    assert "reference/bridge.npz" in told
    assert "extra.bin" in told
    assert stand_in.sessions == {}


def test_the_document_has_the_agreed_keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder), "--json", "--scores"]) == 0
    made = document(capsys)
    keys = {"name", "precision", "form", "error", "limit", "bytes", "ms", "how"}
    assert all(keys <= set(part) for part in made["parts"])
    alike = {"metric": "accuracy", "higher_is_better": True, "n": 4}
    alone = {"differences": {"fp32": 0}, "unit_of_differences": "points", "agreement": {"fp32": 1}}
    unknown: dict[str, Any] = {"evidence": None, "baselines": {}}
    assert made["scores"]["rgb"] == {
        "head": {**alike, **alone, **unknown, "values": {"fp32": 0.75}},
        "answer": {**alike, **alone, **unknown, "values": {"fp32": 0.25}},
    }


def test_samples_takes_the_first_so_many(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder), "--json", "--scores", "--samples", "1"]) == 0
    scores = document(capsys)["scores"]["rgb"]
    assert {task: (each["n"], each["values"]["fp32"]) for task, each in scores.items()} == {
        "head": (1, 0.0),
        "answer": (1, 1.0),
    }


def test_the_table_names_its_columns(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["part", "precision", "form", "error", "limit", "size", "time", "ok"]
    assert len(lines) == len(stand_in.manifest.parts)
    assert all(line.endswith("yes") for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no .npz of plain arrays"),
        (b"PK\x03\x04 and no more", "no .npz of plain arrays"),
        (npz({}), "has no array '0.in.media'"),
        (npz(MEDIA), "has no array '0.out.tokens'"),
        (npz({**WHOLE, "1.in.media": WHOLE["0.in.media"]}), "has no array '1.out.tokens'"),
        (npz({**WHOLE, "2.in.media": WHOLE["0.in.media"]}), "has no array '1.in.media'"),
        (npz({**WHOLE, "in.media": WHOLE["0.in.media"]}), "has no array '1.in.media'"),
        (npz({**WHOLE, "0.in.media": np.zeros((1, 2, 3))}), "'0.in.media' is float64 .1, 2, 3."),
        (
            npz({**WHOLE, "0.in.media": np.zeros((1, 2), np.float32)}),
            "'0.in.media' is float32 .1, 2.",
        ),
        (npz({**WHOLE, "0.out.tokens": np.zeros((1, 2, 17), np.float32)}), "axis2 16"),
        (npz({**WHOLE, "0.out.tokens": np.zeros((1, 1000, 16), np.float32)}), "tokens 0…999"),
        (npz({**WHOLE, "0.in.media": np.zeros((1, 2, 3), ">f4")}), "'0.in.media' is >f4"),
    ],
)
def test_a_reference_that_is_none_is_a_broken_bundle(
    stand_in: StandIn, folder: Path, content: bytes, said: str
) -> None:
    write(stand_in, folder, {"reference/bridge.npz": content})
    with pytest.raises(BundleError, match=said):
        list(rows(Bundle.open(folder), CPU))


def test_every_probe_is_measured_and_the_worst_one_counts(folder: Path, stand_in: StandIn) -> None:
    honest = stand_in.functions["decoder"]

    def wrong_after_the_first_step(given: Mapping[str, Array]) -> dict[str, Array]:
        made = honest(given)
        return {**made, "logits": made["logits"] + 0.1 * (len(given["past.0"]) == 2)}

    stand_in.functions["decoder"] = wrong_after_the_first_step
    found = {row.name: row for row in rows(Bundle.open(folder), CPU)}
    assert [name for name, row in found.items() if not row.ok] == ["decoder"]
    runs = [len(inputs["past.0"]) for inputs, _ in stand_in.sessions["decoder"].calls]
    assert set(runs) == {1, 2}
    assert runs.count(2) == 1  # what is timed is the first


def test_a_half_precision_port_is_fed_the_rounded_reference(folder: Path) -> None:
    bundle = Bundle.open(folder)
    bridge = bundle.manifest.part("bridge")
    half = replace(bridge, inputs=(replace(bridge.inputs[0], dtype="float16"),))
    for probe in probes(bundle, half, half.graphs[0]):
        assert probe.inputs["media"].dtype == np.float16
        assert probe.outputs["tokens"].dtype == np.float32


def test_a_precision_that_this_device_does_not_compute_in_is_emulated_and_timed_as_it_runs(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrowed(stand_in, "walk", "fp16")
    write(stand_in, folder)
    stand_in.programs.clear()
    assert main(["verify", str(folder), "--json"]) == 0
    hows = {(part["name"], part["precision"]): part["how"] for part in document(capsys)["parts"]}
    assert hows.pop(("walk", "fp16")) == "emulated"
    assert set(hows.values()) == {"native"}
    opened = [(each.where, each.exact) for each in stand_in.programs]
    assert opened[-2:] == [("graphs/walk.fp16.onnx", True), ("graphs/walk.fp16.onnx", False)]
    assert not any(exact for _, exact in opened[:-2])
    assert main(["verify", str(folder)]) == 0
    assert "walk                 fp16 (emulated)" in capsys.readouterr().out


def test_pickles_are_never_loaded(stand_in: StandIn, folder: Path) -> None:
    path = folder / "pickled.npz"
    np.savez(path, x=np.array([{}], dtype=object))
    write(stand_in, folder, {"reference/bridge.npz": path.read_bytes()})
    bundle = Bundle.open(folder)
    with pytest.raises(BundleError, match=r"no \.npz of plain arrays"):
        arrays(bundle, bundle.manifest.part("bridge").reference)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({"answer": 0}, "differ in length"), ({"label": 3}, "differ in length"), ({}, "has no array")],
)
def test_samples_that_are_none_are_a_broken_bundle(
    stand_in: StandIn,
    folder: Path,
    sizes: dict[str, int],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("input", "label", "question", "answer") if sizes else ("input",)
    made = {name: np.zeros(sizes.get(name, 4), np.float32) for name in names}
    write(stand_in, folder, {"samples/rgb.npz": npz(made)})
    assert main(["verify", str(folder), "--scores"]) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("label", [-1, 3, 0.5])
def test_a_label_that_no_class_has_is_a_broken_bundle(
    stand_in: StandIn, folder: Path, label: float, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = np.array(["?"])
    image = np.ones((1, 3, 4, 4), np.float32)
    made = {"input": image, "label": np.array([label]), "question": texts, "answer": texts}
    write(stand_in, folder, {"samples/rgb.npz": npz(made)})
    assert main(["verify", str(folder), "--scores"]) == 3
    assert "no index of 3 labels" in capsys.readouterr().err


def test_the_real_bundle_is_within_its_limits(tiny: Path) -> None:
    bundle = Bundle.open(tiny)
    found = list(rows(bundle, CPU))
    assert [row.name for row in found if not row.ok] == []


def test_one_perturbed_weight_whose_hash_was_recomputed_exits_5_and_names_its_part(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    bundle = Bundle.open(copy)
    part = bundle.manifest.part(bundle.manifest.language.embedder)
    # what an embedder gives for a token is a row of its weights, as it lies in the graph's file
    row = arrays(bundle, part.reference)["0.out.embeds"][0, 0]
    graph = copy / part.graphs[0].file.path
    content = graph.read_bytes()
    assert content.count(row.tobytes()) == 1
    changed = row + np.eye(len(row), dtype=np.float32)[0] * row.std()
    graph.write_bytes(content.replace(row.tobytes(), changed.tobytes()))

    assert main(["verify", str(copy)]) == 3
    assert graph.name in capsys.readouterr().err
    recorded = hashlib.sha256(graph.read_bytes()).hexdigest()
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace(part.graphs[0].file.sha256, recorded))
    assert main(["verify", str(copy)]) == 5
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines if line.endswith("NO")] == [part.name]
