"""From a calibration set to narrower graphs: the command, what the bundle says, what is refused."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import export_engines, main
from edgespark.runtime.integers import Integers

TABLE = ["allspark-tiny", "--parts", "table"]


@pytest.fixture(scope="module")
def samples(calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a set of tables alone."""
    from edgespark.calibration.sets import Rows, write_set

    root = tmp_path_factory.mktemp("set")
    shutil.copytree(calibration / "table", root / "table")
    write_set(root, {"table": Rows(folder="table")})
    return root


@pytest.fixture(scope="module")
def exported(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lowered") / "bundle"
    given = ["--calibration", str(samples), "--samples", "24", "--budget", "2"]
    assert export_engines([*TABLE, "--precision", "fp32,fp16,int8", *given, "--out", str(out)]) == 0
    return out


def test_the_bundle_says_how_it_was_made_narrower(exported: Path) -> None:
    manifest = Bundle.open(exported).manifest
    assert [each.name for each in manifest.variants] == ["fp32", "fp16", "int8"]
    assert set(manifest.variants[-1].precisions.values()) == {"int8"}
    found = {(each.part, each.precision): each for each in manifest.evidence.parity}
    encoder = found["encoder_table", "int8"]
    assert encoder.share is not None
    assert encoder.share > 0.9
    assert encoder.added
    assert all(each.kept == {} for each in found.values() if each.precision == "fp32")
    for name in ("decoder", "embedder"):
        assert (found[name, "int8"].share or 0) > 0.95
    logits = found["decoder", "fp16"]
    assert logits.backend.endswith("float16 emulated")
    told = {part.name: part.calibration is not None for part in manifest.parts}
    assert told == {name: name != "embedder" for name in told}


def test_what_the_bundle_says_of_its_calibration_can_be_read(exported: Path) -> None:
    bundle = Bundle.open(exported)
    file = bundle.manifest.part("encoder_table").calibration
    assert file is not None
    told = json.loads(bundle.read(file))
    assert told["part"] == "encoder_table"
    assert told["provenance"]["samples"] == {"table": 24}


def test_the_bundle_says_what_a_cpu_takes_and_why(exported: Path) -> None:
    bundle = Bundle.open(exported)
    (choice,) = bundle.manifest.evidence.choices
    assert bundle.manifest.preferred == {"cpu": choice.variant}
    assert set(choice.ms) == set(choice.lost) == {"fp32", "int8"}  # fp16 is no faster there
    assert choice.lost["fp32"] == 0
    assert choice.variant in choice.why
    file = bundle.manifest.part("decoder").calibration
    assert file is not None
    assert json.loads(bundle.read(file))["weights"] == {
        "block": 128,
        "signed": False,
        "rounding": "gptq",
        "last": 8,
    }


def test_without_data_a_rule_chooses_and_the_bundle_says_so(tmp_path: Path) -> None:
    given = ["--precision", "int8,int4", "--weights-only", "--block", "32"]
    assert export_engines([*TABLE, *given, "--out", str(tmp_path / "b")]) == 0
    manifest = Bundle.open(tmp_path / "b").manifest
    (choice,) = manifest.evidence.choices
    assert (choice.variant, choice.ms, choice.lost) == ("int8", {}, {})
    assert choice.why.startswith("int8, by rule: without a calibration set")
    sizes = {g.precision: g.file.bytes for g in manifest.part("decoder").graphs}
    assert 1_500_000 < sizes["int4"] < 1_550_000 < sizes["int8"]
    made = {g.precision: g.weights for g in manifest.part("decoder").graphs}
    assert made == {
        "int8": Integers(block=0, signed=False, rounding="nearest", last=8),
        "int4": Integers(block=32, signed=False, rounding="nearest", last=8),
    }


def test_scales_of_either_sign_are_made_when_asked_for_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--precision", "int4", "--signed-scales", "--out", str(tmp_path / "b")]
    assert export_engines([*TABLE, *given]) == 0
    bundle = Bundle.open(tmp_path / "b")
    (graph,) = bundle.manifest.part("decoder").graphs
    model = onnx.load(bundle.verified(graph.file))
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    blocks = [
        numpy_helper.to_array(each)
        for each in model.graph.initializer
        if each.name.endswith(".scale")
        and kinds[each.name.removesuffix(".scale")] == TensorProto.INT4
    ]
    assert blocks
    assert all((each < 0).any() and (each > 0).any() for each in blocks)
    assert graph.weights == Integers(block=128, signed=True, rounding="nearest", last=8)
    capsys.readouterr()
    assert main(["inspect", str(bundle.root)]) == 0
    told = "blocks of at most 128, scales of either sign, nearest; logits of 8 bits"
    assert f"  weights of the int4 graph: {told}\n" in capsys.readouterr().out
    assert main(["build", str(bundle.root), "--target", "tensorrt-10.9"]) == 4
    wanted = "it reads positive scales alone, and blocks of at most 128"
    assert f"all but int4 of {told}: {wanted}" in capsys.readouterr().err


def test_every_graph_passes_its_check(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(exported), "--scores", "--samples", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    hows = {(row["precision"], row["how"]) for row in told["parts"]}
    assert hows == {("fp32", "native"), ("fp16", "emulated"), ("int8", "native")}
    assert set(told["scores"]["table"]["head"]["values"]) == {"fp32", "fp16", "int8"}
    assert any(row["worst_layer"] for row in told["parts"] if row["precision"] == "int8")


def test_ranges_gathered_before_give_the_same_graphs(
    exported: Path, samples: Path, tmp_path: Path
) -> None:
    ranges, out = tmp_path / "ranges", tmp_path / "again"
    given = ["--calibration", str(samples), "--samples", "24"]
    assert main(["calibrate", str(exported), *given, "--out", str(ranges)]) == 0
    more = [*given, "--ranges", str(ranges), "--precision", "fp32,int8", "--out", str(out)]
    assert export_engines([*TABLE, *more]) == 0
    graphs = [
        {part.name: graph.file.sha256 for part in bundle.manifest.parts for graph in part.graphs}
        for bundle in (Bundle.open(exported), Bundle.open(out))
    ]
    assert graphs[0]["bridge_table"] == graphs[1]["bridge_table"]
    assert graphs[0]["decoder"] == graphs[1]["decoder"]


def test_ranges_of_other_samples_are_refused(
    exported: Path, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranges = tmp_path / "ranges"
    given = ["--calibration", str(samples)]
    assert main(["calibrate", str(exported), *given, "--samples", "3", "--out", str(ranges)]) == 0
    more = ["--samples", "4", "--ranges", str(ranges), "--precision", "int8"]
    assert export_engines([*TABLE, *given, *more, "--out", str(tmp_path / "b")]) == 2
    assert "table" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_there_is_no_int8_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_engines([*TABLE, "--precision", "fp32,int8", "--out", str(tmp_path / "b")]) == 2
    assert "give --calibration DIR" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--budget", "1"], "--budget needs --calibration"),
        (["--ranges", "x", "--method", "mse"], "--ranges, --method needs --calibration"),
        (["--plain"], "--plain needs --calibration"),
        (["--int8-cache"], "--int8-cache needs --calibration"),
        (["--calibration", "SET", "--weights-only"], "give one of both"),
        (["--calibration", "SET", "--budget", "-1"], "a budget of -1 points cannot be"),
        (["--calibration", "SET", "--budget", "nan"], "a budget of nan points cannot be"),
        (["--calibration", "SET", "--samples", "0"], "--samples"),
        (["--calibration", "nowhere"], "nowhere"),
        (["--calibration", "SET", "--block", "64"], "--block 64 is of int4: name it"),
        (["--calibration", "SET", "--signed-scales"], "--signed-scales is of int4: name it"),
        (["--weights-only", "--rounding", "awq"], "awq rounds by what layers see on data"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(
    options: list[str],
    told: str,
    samples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(samples) if each == "SET" else each for each in options]
    more = ["--precision", "fp32,int8", "--out", str(tmp_path / "b")]
    assert export_engines([*TABLE, *given, *more]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_set_without_a_modality_of_the_model_is_refused(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--parts", "table,code", "--precision", "int8", "--calibration", str(samples)]
    assert export_engines(["allspark-tiny", *given, "--out", str(tmp_path / "b")]) == 2
    assert "has no samples of code; it has: table" in capsys.readouterr().err


def test_the_weights_alone_need_no_data(tmp_path: Path) -> None:
    given = ["--parts", "language", "--precision", "int8", "--weights-only"]
    assert export_engines(["allspark-tiny", *given, "--out", str(tmp_path / "b")]) == 0
    manifest = Bundle.open(tmp_path / "b").manifest
    precisions = manifest.variants[0].precisions
    assert precisions == {"decoder": "int8", "embedder": "int8", "head_language": "fp32"}
    assert all(part.calibration is None for part in manifest.parts)
