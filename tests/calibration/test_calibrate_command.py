import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration import whole
from edgespark.calibration.gather import provenance
from edgespark.calibration.methods import METHODS
from edgespark.calibration.ranges import load
from edgespark.calibration.sets import CalibrationSet, Rows, write_set
from edgespark.engines.calibrate import main
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import (
    BundleError,
    EdgesparkError,
    InputError,
    MissingInput,
    OutputError,
    UsageError,
)
from tests.calibration.made_sets import save
from tests.calibration.small_chain import graph, image, small

PARTS = {"bridge", "decoder", "depth", "encoder_rgb", "encoder_sar", "head_rgb"}

WIDEST = ["widest", "range", "of", "tensor"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small(tmp_path / "bundle")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    save(root / "rgb", input=np.stack([image(i) for i in range(3)]), label=np.arange(3))
    save(root / "range", input=np.stack([image(i, 2) for i in range(3)]), target=np.ones((3, 2)))
    save(root / "language", input=np.array(["one", "another"]))
    return write_set(root, {name: Rows(folder=name) for name in ("rgb", "range", "language")}).root


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_part_gets_its_ranges_beside_an_unchanged_bundle(
    bundle: Bundle, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(bundle.root)
    assert main([str(bundle.root), "--calibration", str(samples)]) == 0
    folder = bundle.root / "derived" / "calibration"
    assert {p.stem for p in folder.glob("*.json")} == PARTS
    after = files(bundle.root)
    assert {name: after[name] for name in before} == before
    assert bundle.problems() == []
    made = load(folder, "bridge", provenance(bundle, CalibrationSet.open(samples), "bridge"), ())
    assert made.tensors["media"].count == 6
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder}: ranges by mse"
    assert lines[1].split() == [
        "part",
        "tensors",
        "samples",
        "widest",
        "range",
        "of",
        "tensor",
        "seconds",
    ]
    assert {line.split()[0] for line in lines[2:]} == PARTS
    assert "bridge" in lines[2]
    assert lines[2].split()[1:3] == ["1", "6"]


def test_a_bundle_never_changes_by_ranges_beside_its_files(bundle: Bundle, samples: Path) -> None:
    given = [str(bundle.root), "--calibration", str(samples), "--out"]
    with pytest.raises(OutputError, match="is inside the bundle, which never changes"):
        main([*given, str(bundle.root / "ranges")])
    with pytest.raises(UsageError, match="--out is empty"):
        main([*given, ""])
    assert bundle.problems() == []


def test_what_is_no_graph_is_a_broken_bundle(tmp_path: Path, samples: Path) -> None:
    for content in (b"", b"no graph", graph("bridge")[:-3]):
        broken = small(tmp_path / f"broken {len(content)}", {"bridge": content})
        with pytest.raises(BundleError, match=r"bridge.*no ONNX graph"):
            main([str(broken.root), "--calibration", str(samples)])


@pytest.mark.parametrize("method", METHODS)
def test_json_tells_what_was_gathered(
    bundle: Bundle, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    out = tmp_path / "new" / "ranges"
    arguments = ["--out", str(out), "--samples", "2", "--method", method, "--json"]
    assert main([str(bundle.root), "--calibration", str(samples), *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["method"]) == (str(out), method)
    assert told["set"] == CalibrationSet.open(samples).digest
    assert told["unreached"] == {}
    by = {each["part"]: each for each in told["parts"]}
    assert set(by) == PARTS
    assert by["decoder"]["samples"] == 6
    stored = json.loads((out / "encoder_rgb.json").read_bytes())["tensors"]
    tensor = by["encoder_rgb"]["tensor"]
    assert by["encoder_rgb"]["widest"] == stored[tensor]["ranges"][method]
    assert by["encoder_rgb"]["seconds"] > 0
    assert not (bundle.root / "derived").exists()


def test_parts_that_nothing_reached_are_told(
    bundle: Bundle, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = write_set(samples, {"rgb": Rows(folder="rgb")}, replace=True)
    assert main([str(bundle.root), "--calibration", str(only.root), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["unreached"] == {"depth": ["range"], "encoder_sar": ["range"]}
    assert "edgespark: encoder_sar: no sample reached it; samples of range would" in said.err


def test_an_earlier_calibration_is_replaced_as_a_whole(bundle: Bundle, samples: Path) -> None:
    folder = bundle.root / "derived" / "calibration"
    main([str(bundle.root), "--calibration", str(samples)])
    first = files(folder)
    only = write_set(samples, {"rgb": Rows(folder="rgb")}, replace=True)
    main([str(bundle.root), "--calibration", str(only.root)])
    assert {p.stem for p in folder.glob("*.json")} == PARTS - {"depth", "encoder_sar"}
    again = files(folder)
    assert not [name for name in again if name.endswith(".json") and again[name] == first[name]]
    assert [p.name for p in folder.parent.iterdir()] == ["calibration"]


def test_what_cannot_be_written_whole_leaves_the_earlier_one(
    bundle: Bundle, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle.root / "derived" / "calibration"
    main([str(bundle.root), "--calibration", str(samples)])
    first = digest(folder)
    done = []

    def fails(*given: object) -> None:
        done.append(given)
        if len(done) == len(PARTS):
            raise OutputError("the disk is full")

    monkeypatch.setattr(whole, "save", fails)
    with pytest.raises(OutputError, match="nothing was written: the disk is full"):
        main([str(bundle.root), "--calibration", str(samples)])
    assert digest(folder) == first
    assert [p.name for p in folder.parent.iterdir()] == ["calibration"]


def digest(folder: Path) -> str:
    return hashlib.sha256(repr(sorted(files(folder).items())).encode()).hexdigest()


def test_a_folder_of_other_things_is_never_replaced(
    bundle: Bundle, samples: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    arguments = [str(bundle.root), "--calibration", str(samples), "--out"]
    with pytest.raises(OutputError, match=r"holds notes\.txt, which is no calibration"):
        main([*arguments, str(mine)])
    with pytest.raises(OutputError, match="is no folder"):
        main([*arguments, str(mine / "notes.txt")])
    assert files(mine) == {"notes.txt": b"mine"}


def test_a_place_outside_of_the_bundle_is_no_place_in_it(
    bundle: Bundle, samples: Path, tmp_path: Path
) -> None:
    (bundle.root / "derived").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leads out of the bundle"):
        main([str(bundle.root), "--calibration", str(samples)])


BAD: dict[str, tuple[list[str], type[EdgesparkError], str]] = {
    "no set": (["--calibration", "nowhere"], MissingInput, "no calibration set at 'nowhere'"),
    "no argument": ([], UsageError, "--calibration"),
    "a method": (["--calibration", "S", "--method", "msr"], UsageError, r"'msr' \(did you mean"),
    "a count": (["--calibration", "S", "--samples", "0"], UsageError, "--samples must be an"),
    "threads": (["--calibration", "S", "--threads", "-1"], UsageError, "--threads must be an"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_use_is_told(bundle: Bundle, samples: Path, case: str) -> None:
    arguments, error, told = BAD[case]
    given = [str(samples) if each == "S" else each for each in arguments]
    with pytest.raises(error, match=told):
        main([str(bundle.root), *given])
    assert not (bundle.root / "derived").exists()


def test_a_set_that_changed_is_refused(bundle: Bundle, samples: Path) -> None:
    np.save(samples / "rgb" / "input.npy", np.zeros((3, 3, 4, 4), np.float32))
    with pytest.raises(InputError, match=r"rgb/input\.npy"):
        main([str(bundle.root), "--calibration", str(samples)])


def test_without_onnx_the_way_to_install_it_is_told() -> None:
    code = """
import sys
sys.modules["onnx"] = None
from edgespark.runtime import cli
run = lambda: cli._call("edgespark calibrate", "edgespark.engines.calibrate", [])
sys.exit(cli._guarded(run))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "edgespark calibrate needs onnx" in done.stderr
    assert "pip install 'edgespark[export]'" in done.stderr
