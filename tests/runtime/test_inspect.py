"""`edgespark inspect`: what a bundle holds, for programs and for people."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.choices import Choice
from edgespark.runtime.commands.inspect import main
from edgespark.runtime.errors import BundleError, MissingInput, UsageError
from edgespark.runtime.inspect import describe, render
from edgespark.runtime.manifest import VERSION
from edgespark.runtime.starts import starts
from edgespark.runtime.takes import takes
from tests.runtime import bundles
from tests.runtime.kinds import RECORDS, SERIES, TRACKS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def test_the_description_holds_the_keys_that_others_rely_on(root: Path) -> None:
    made = describe(Bundle.open(root))

    assert made["modalities"] == ["rgb", "language", "trajectory"]
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
        f"hand-made (format version {VERSION}, licence Apache-2.0)",
        "modality rgb: imagery → encoder_rgb → bridge_rgb",
        "  classification by head_rgb: water, forest",
        "part decoder, decoder: fp32 4.0 KiB",
        "  input  pixels: float32 [batch 1…4, bands 3, rows 16, columns 16]",
        "  state  2 tensors of the fp32 graph, float32",
        "measured when it was made, with torch 2.13.0",
    ):
        assert text in out


WORDS = {
    "imagery": "2 bands (b0, b1), float32 in 1, at 4 x 4 pixels, 1 to 100 m per pixel",
    "frames": "2 frames of a clip, each of 3 bands (b0, b1, b2), float32 in 1, at 4 x 4 pixels, "
    "1 to 100 m per pixel",
    "points": "8 points or more, of which 8 are taken, in 3 groups of 2",
    "table": "1 to 3 rows of 2 columns (height (number), tree (category))",
    "tracks": "4 positions in metres, 0.5 s apart, of 1 to 2 agents within 10 m, "
    "the agent itself first; 3 are to come",
    "series": "5 steps, 300 s apart, in km/h, at 2 nodes (north, south); 2 are to come",
    "picture": "a colour picture, uint8, of which the middle square is brought to 4 x 4 pixels",
    "picture pair": "a colour picture, uint8, of which the middle square is brought to 4 x 4 "
    "pixels, and its depth",
    "clips": "a video, of which the first frame of each of 2 clips of 1 s is taken, in 3 square "
    "cuts of 4 x 4 pixels",
    "fbank": "sound of 0.025 s or more, brought to 16000 Hz, of which the first 0.115 s and the "
    "first channel are taken",
    "motion": "0.2 s (20 samples) of 2 signals (x, y), at 100 Hz or resampled to it",
    "voxels": "6 voxels, or rows of so many: repeats, of which the mean is taken",
    "coloured points": "8 points with colours, farthest first of more, in 3 groups of 2",
    "text": "1 to 40 tokens",
}


@pytest.mark.parametrize("kind", RECORDS)
def test_what_a_modality_takes_is_told_in_words(kind: str) -> None:
    assert takes(RECORDS[kind]) == WORDS[kind]


def test_of_many_names_the_first_are_told() -> None:
    told = takes(replace(SERIES, nodes=tuple(f"n{i}" for i in range(307))))
    assert "at 307 nodes (n0, n1, " in told
    assert ", n11, …); 2" in told


def test_a_route_tells_what_it_takes_for_programs(folder: Path) -> None:
    made = json.loads(json.dumps(describe(Bundle.open(folder))))
    routes = {route["modality"]: route for route in made["routes"]}
    assert [array["name"] for array in routes["trajectory"]["arrays"]] == [
        port.name for port in starts(TRACKS)
    ]
    for modality, kind in {"point_cloud": "points", "table": "table", "rgb": "imagery"}.items():
        assert routes[modality]["input"] == routes[modality]["preprocessing"]["kind"] == kind
    assert routes["table"]["preprocessing"]["columns"][1]["values"] == ["oak", "fir"]
    assert routes["trajectory"]["question"] == "Whither?"
    assert routes["trajectory"]["head"]["shape"] == [3, 2]


def test_people_see_what_a_modality_takes_and_what_it_forecasts(folder: Path) -> None:
    lines = render(describe(Bundle.open(folder))).splitlines()
    at = lines.index("modality trajectory: tracks → encoder_trajectory → bridge")
    assert lines[at + 1] == f"  takes {WORDS['tracks']}"
    assert lines[at + 2] == "  regression by walk: [3, 2] values in m, judged by ADE and FDE"
    assert "  regression by depth: values in m" in lines
    assert f"  takes {WORDS['points']}" in lines


def test_simpler_methods_stand_beside_the_scores_of_the_evidence(root: Path) -> None:
    score = {"modality": "rgb", "task": "head", "metric": "accuracy", "higher_is_better": True}
    made = bundles.manifest()
    given = {"n": 9, "values": {"fp32": 0.9}, "baselines": {"most frequent": 0.25}}
    made["evidence"]["scores"] = [{**score, **given}]
    bundles.write_manifest(root, made)
    told = "  rgb head: accuracy fp32 0.9 (n = 9); simpler methods: most frequent 0.25"
    assert told in render(describe(Bundle.open(root))).splitlines()


def test_shares_layers_kept_wider_and_calibration_are_shown(root: Path) -> None:
    made = bundles.manifest()
    measured = made["evidence"]["parity"][0]
    measured |= {"share": 0.9375, "added": {"mix": 0.02, "join": 0.001}}
    measured["kept"] = {"last": "its error is\nthe worst"}
    bundles.write_manifest(root, made)
    described = describe(Bundle.open(root))
    assert described["parts"][0]["calibration"] == "calibration/encoder_rgb.json"
    assert described["parts"][1]["calibration"] is None
    shown = described["evidence"]["parity"][0]
    assert (shown["share"], shown["added"]["mix"], list(shown["kept"])) == (0.9375, 0.02, ["last"])
    lines = render(described).splitlines()
    assert "  calibrated: calibration/encoder_rgb.json" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("  encoder_rgb fp32: error"))
    assert lines[at + 1 : at + 4] == [
        "    93.8 % in fp32",
        "    of 2 layers mix adds most to the chain: 2.0e-02",
        "    kept wider: last: its error is\\nthe worst",
    ]


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
    files = len(bundles.contents())
    assert json.loads(out)["hashed"] is True
    assert f"{files}/{files}" in err


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


def test_why_a_device_takes_a_variant_is_shown(root: Path) -> None:
    bundle = Bundle.open(root)
    choice = Choice(
        device="cpu", variant="fp32", why="fp32, the fastest of one", ms={"fp32": 2.0}, lost={}
    )
    evidence = replace(bundle.manifest.evidence, choices=(choice,))
    made = describe(replace(bundle, manifest=replace(bundle.manifest, evidence=evidence)))

    assert made["evidence"]["choices"][0]["ms"] == {"fp32": 2.0}
    assert "  cpu takes fp32, the fastest of one" in render(made).splitlines()
