"""Verify: what it measures, what it refuses, and that it falls short aloud."""

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.backends import Program, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import BundleError
from edgespark.runtime.verify import arrays, check_files, distance, graphs, rows
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn

CPU = DEVICES["cpu"]
Array = NDArray[Any]


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
    assert not distance(np.ones(2), np.array([1, np.nan])) <= 1


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
    assert "NO" in capsys.readouterr().out


def test_an_error_that_is_not_finite_is_null_in_json(
    folder: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["bridge"]
    stand_in.functions["bridge"] = lambda given: {"tokens": honest(given)["tokens"] * np.nan}
    assert main(["verify", str(folder), "--json"]) == 5
    assert [p["error"] for p in document(capsys)["parts"] if p["name"] == "bridge"] == [None]


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
    keys = {"name", "precision", "error", "limit", "bytes", "ms", "how"}
    assert all(keys <= set(part) for part in made["parts"])
    assert made["scores"]["rgb"] == {
        "head": {"metric": "accuracy", "higher_is_better": True, "n": 4, "values": {"fp32": 0.75}},
        "answer": {
            "metric": "accuracy",
            "higher_is_better": True,
            "n": 4,
            "values": {"fp32": 0.25},
        },
    }


def test_samples_takes_the_first_so_many(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder), "--json", "--scores", "--samples", "1"]) == 0
    scores = document(capsys)["scores"]["rgb"]
    assert {task: (each["n"], each["values"]["fp32"]) for task, each in scores.items()} == {
        "head": (1, 0.0),
        "answer": (1, 1.0),
    }


def test_the_table_names_its_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["part", "precision", "error", "limit", "size", "time", "ok"]
    assert len(lines) == 8
    assert all(line.endswith("yes") for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no .npz of plain arrays"),
        (b"PK\x03\x04 and no more", "no .npz of plain arrays"),
        (npz({"in.media": np.zeros((1, 1, 1), np.float32)}), "has no array 'out.tokens'"),
    ],
)
def test_a_reference_that_is_none_is_a_broken_bundle(
    stand_in: StandIn, folder: Path, content: bytes, said: str
) -> None:
    write(stand_in, folder, {"reference/bridge.npz": content})
    with pytest.raises(BundleError, match=said):
        list(rows(Bundle.open(folder), CPU))


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


def test_a_real_graph_with_a_perturbed_weight_falls_short(tiny: Path) -> None:
    onnx = pytest.importorskip("onnx")
    bundle = Bundle.open(tiny)
    part = next(part for part in bundle.manifest.parts if part.role == "head")
    model = onnx.load_from_string(bundle.read(part.graphs[0].file))
    weight = max(model.graph.initializer, key=lambda each: np.prod(each.dims))
    changed = onnx.numpy_helper.to_array(weight) * 1.01
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    reference = arrays(bundle, part.reference)
    program = Program(
        where="perturbed",
        graph=model.SerializeToString(),
        folder=None,
        inputs=("hidden",),
        outputs=("scores",),
    )
    made = backend("onnxruntime").open_session(program).run({"hidden": reference["in.hidden"]})
    assert distance(made["scores"], reference["out.scores"]) > part.graphs[0].limit
