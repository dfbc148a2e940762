"""`edgespark inspect`: what a bundle holds, for programs and for people."""

import json
from pathlib import Path

import pytest

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commands.inspect import main
from edgespark.runtime.errors import BundleError, MissingInput, UsageError
from edgespark.runtime.inspect import describe, render
from tests.runtime import bundles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def test_the_description_holds_the_keys_that_others_rely_on(root: Path) -> None:
    made = describe(Bundle.open(root))

    assert made["modalities"] == ["rgb", "language"]
    assert made["precisions"] == ["fp32"]
    assert [part["name"] for part in made["parts"]] == [each["name"] for each in bundles.parts()]
    assert {"name", "role", "precisions", "bytes", "inputs", "outputs"} <= made["parts"][0].keys()
    assert made["routes"][0]["parts"] == ["encoder_rgb", "bridge_rgb"]
    assert made["context"] == bundles.CONTEXT


def test_a_part_is_as_large_as_its_graphs_and_their_data(root: Path) -> None:
    sizes = {part["name"]: part["bytes"] for part in describe(Bundle.open(root))["parts"]}

    assert sizes["decoder"] == 4096 + len(b"graph of decoder\n")


def test_json_is_one_document(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--json"]) == 0

    out, err = capsys.readouterr()
    assert json.loads(out) == {**describe(Bundle.open(root)), "hashed": False}
    assert err == ""


def test_people_see_the_modalities_parts_and_evidence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root)]) == 0

    out = capsys.readouterr().out
    for text in (
        "hand-made (format version 1, licence Apache-2.0)",
        "modality rgb: imagery → encoder_rgb → bridge_rgb",
        "  classification by head_rgb: water, forest",
        "part decoder, decoder: fp32 4.0 KiB",
        "  input  pixels: float32 [batch 1…4, bands 3, rows 16, columns 16]",
        "  state  2 tensors in fp32",
        "measured when it was made, with torch 2.13.0",
    ):
        assert text in out


def test_hash_finds_a_flipped_byte(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--hash"]) == 0
    assert "every file is as the manifest says" in capsys.readouterr().out

    (root / "card.md").write_bytes(b"# A model of nothinG\n")
    assert main([str(root)]) == 0
    capsys.readouterr()
    with pytest.raises(BundleError, match=r"'card\.md' was changed"):
        main([str(root), "--hash"])
    assert capsys.readouterr().out == ""


def test_progress_stands_on_stderr(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--hash", "--json", "--progress"]) == 0

    out, err = capsys.readouterr()
    assert json.loads(out)["hashed"] is True
    assert "14/14" in err


def test_no_bundle_is_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        main([str(tmp_path / "none")])


def test_wrong_use_is_a_usage_error(root: Path) -> None:
    with pytest.raises(UsageError):
        main([str(root), "--hsah"])


def test_a_name_cannot_steer_the_terminal(root: Path) -> None:
    bundles.write_manifest(root, bundles.manifest() | {"name": "a\x1b[2J\nb"})

    assert "\x1b" not in render(describe(Bundle.open(root)))
    assert render(describe(Bundle.open(root))).startswith("a\\x1b[2J\\nb (")
