"""`edgespark sample` makes a set of what lies in a folder, the same one every time."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.calibration import cli_sample
from edgespark.calibration.sampling_patterns import Pattern, matched, pattern_from_text
from edgespark.calibration.sets import CalibrationSet, Items
from edgespark.runtime.errors import EdgesparkError, InputError, OutputError, UsageError
from edgespark.runtime.inputs import prepare
from tests.calibration.made_sets import lay
from tests.runtime.scenes import SHARED, imagery, ramp, route, write_tif


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay(tmp_path / "set")


def sample(root: Path, *arguments: str) -> CalibrationSet:
    """Run the command, and open what it made."""
    inputs = [part for each in arguments if "=" in each for part in ("--input", each)]
    rest = [each for each in arguments if "=" not in each]
    assert cli_sample.main([str(root), *inputs, *rest]) == 0
    return CalibrationSet.open(root)


def cuts(made: CalibrationSet, modality: str) -> list[tuple[str, str]]:
    found = made.manifest.modalities[modality]
    assert isinstance(found, Items)
    return [(item.path, item.options.get("window", "")) for item in found.items]


def refused(root: Path, *arguments: str, kind: type[EdgesparkError] = UsageError) -> str:
    before = (root / "calibration.json").exists()
    with pytest.raises(kind) as caught:
        sample(root, *arguments)
    assert caught.value.exit_code == 2
    assert (root / "calibration.json").exists() == before
    return str(caught.value)


def test_files_are_a_sample_each_in_their_order(root: Path) -> None:
    made = sample(root, "trajectory=walks/*.csv?agent=1", "code=code/*.npy")
    first, second = made.samples("trajectory")
    assert first.where == "sample 0 of trajectory (walks/a.csv?agent=1)"
    assert second.where == "sample 1 of trajectory (walks/b.csv?agent=1)"
    assert made.count("code") == 4


def test_of_more_files_than_are_wanted_some_are_drawn(root: Path) -> None:
    for i in range(50):
        (root / "walks" / f"{i:02}.csv").write_text("x")
    made = [
        sample(root, "trajectory=walks/[0-9]*.csv", "--count", "10", "--replace", "--seed", seed)
        for seed in ("1", "1", "2")
    ]
    assert [each.count("trajectory") for each in made] == [10] * 3
    assert made[0].digest == made[1].digest != made[2].digest
    assert cuts(made[0], "trajectory") == sorted(cuts(made[0], "trajectory"))


def test_several_patterns_make_one_modality(root: Path) -> None:
    made = sample(root, "trajectory=walks/a.csv", "trajectory=walks/b.csv?agent=1")
    assert [options for _, options in cuts(made, "trajectory")] == ["", ""]
    assert made.count("trajectory") == 2


def test_what_was_made_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = sample(root, "trajectory=walks/*.csv", "code=code/input.npy")
    assert capsys.readouterr().out == (
        f"{made.root}/calibration.json:\n  trajectory: 2 samples of 2 files\n"
        f"  code: 1 sample of 1 file\n  sha256 {made.digest}\n"
    )
    sample(root, "trajectory=walks/*.csv", "--json", "--replace", "--seed", "5")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["modalities"] == {"trajectory": {"samples": 2, "files": 2}}
    assert told["seed"] == 5


def test_progress_is_shown_where_it_is_asked_for(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(root, "trajectory=walks/*.csv", "--progress")
    assert "hash [########################] 2/2" in capsys.readouterr().err


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing matches": (("msi=*.tif",), "no file matches '*.tif'; msi would have no sample"),
    "only folders match": (("msi=*",), "no file matches '*'"),
    "no pattern": (("msi=",), "input 'msi=' is not NAME=PATTERN"),
    "no name": (("=*.csv",), "is not NAME=PATTERN"),
    "name that is none": (("my msi=*.csv",), "is not NAME=PATTERN"),
    "pattern that leaves": (("code=../*/code/*.npy",), "pattern '../*/code/*.npy' leaves"),
    "absolute pattern": (("code=/etc/*",), "pattern '/etc/*' cannot be used"),
    "unknown option": (("code=walks/a.csv?agnt=1",), "no option 'agnt' (did you mean 'agent'"),
    "malformed option": (("code=walks/a.csv?at=1&fps=many",), "option fps='many' is malformed"),
    "option twice": (("code=walks/a.csv?at=1&at=2",), "an option stands more than once"),
    "file twice": (("code=walks/*.csv", "code=walks/a.csv"), "more than one pattern has walks/a"),
    "count of none": (("code=walks/*.csv", "--count", "0"), "--count must be an integer >= 1"),
    "count too high": (("code=walks/*.csv", "--count", "200000"), "must be at most 100000"),
    "size of none": (("code=walks/*.csv", "--size", "0"), "--size must be an integer >= 1"),
    "seed below zero": (("code=walks/*.csv", "--seed", "-1"), "--seed must be from 0"),
    "seed of endless digits": (("code=walks/*.csv", "--seed", "9" * 30), "--seed must be from 0"),
    "valid share too high": (("code=walks/*.csv", "--min-valid", "1.5"), "above 0, and 1 at most"),
    "valid share of nan": (("code=walks/*.csv", "--min-valid", "nan"), "above 0, and 1 at most"),
    "no input": ((), "--input"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_told_and_nothing_is_written(
    root: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says in refused(root, *arguments)


def test_an_empty_folder_and_none_are_told(tmp_path: Path) -> None:
    assert "no file matches" in refused(tmp_path, "code=*.csv", kind=InputError)
    assert "no calibration set at" in refused(tmp_path / "lost", "code=*.csv", kind=InputError)


def test_a_manifest_that_is_there_is_told_before_anything_is_drawn(root: Path) -> None:
    sample(root, "trajectory=walks/*.csv")
    assert "--replace writes over it" in refused(root, "msi=*.tif", kind=OutputError)


def test_a_link_that_leaves_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("x")
    (root / "walks" / "c.csv").symlink_to(tmp_path / "secret.csv")
    assert "leads out of the folder" in refused(root, "trajectory=walks/*.csv", kind=InputError)


def test_a_name_that_no_manifest_can_hold_is_refused(root: Path) -> None:
    (root / "walks" / "a\\b.csv").write_text("x")
    assert "cannot be a sample" in refused(root, "trajectory=walks/*.csv", kind=InputError)


@pytest.mark.parametrize(
    ("text", "glob", "options"),
    [
        ("msi=a?.tif", "a?.tif", {}),
        ("msi=a?.tif?bands=1,2", "a?.tif", {"bands": "1,2"}),
        ("msi= a.tif", " a.tif", {}),
        ("graph=t.csv?at=1&graph=r.xml", "t.csv", {"at": "1", "graph": "r.xml"}),
    ],
)
def test_a_mark_stands_for_a_letter_or_before_options(
    text: str, glob: str, options: dict[str, str]
) -> None:
    read = pattern_from_text(text)
    assert (read.glob, read.options) == (glob, options)


def test_what_is_read_beside_a_file_is_no_sample(root: Path) -> None:
    for name in ("a.tif", "a.tif.msk", "a.tif.aux.xml", "b.dat", "b.hdr", "c.hdr", "c.img"):
        (root / name).write_bytes(b"x")
    for glob, names in {"*.*": ["a.tif", "b.dat", "c.img"], "*.hdr": ["b.hdr", "c.hdr"]}.items():
        assert matched(root, Pattern(modality="msi", glob=glob)) == names


def scene(root: Path, name: str, side: int, gone: int = 0) -> Path:
    """Write a raster of three bands of which the left columns are nodata."""
    array = ramp(3, side)
    array[:, :, :gone] = 0
    return write_tif(root / name, array, nodata=0)


def test_windows_of_equal_rasters_are_equally_many(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    for name in ("a.tif", "b.tif", "c.tif"):
        scene(root, name, 100)
    made = sample(root, "rgb=*.tif", "--count", "30", "--size", "16")
    found = cuts(made, "rgb")
    assert len(set(found)) == 30
    assert Counter(path for path, _ in found) == {"a.tif": 10, "b.tif": 10, "c.tif": 10}
    assert {path for path, _ in found[:3]} == {"a.tif", "b.tif", "c.tif"}


def test_windows_avoid_what_is_not_valid_and_are_as_the_runtime_reads_them(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 128, gone=64)
    scene(root, "b.tif", 128, gone=128)
    made = sample(root, "rgb=*.tif", "--count", "12", "--size", "16")
    for given in made.samples("rgb"):
        prepared = prepare(route(imagery(min_valid=0.9)), given.value, lambda _: [1])
        assert prepared.valid >= 0.9
    assert {path for path, _ in cuts(made, "rgb")} == {"a.tif"}


def test_too_few_windows_are_told_with_their_number(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 32, gone=16)
    scene(root, "b.tif", 16)
    message = refused(root, "rgb=*.tif", "--count", "99", "--size", "16", kind=InputError)
    assert "of 99 windows of rgb in 2 rasters, of 16 x 16 pixels with 90% of them valid" in message
    scene(root, "b.tif", 16, gone=16)
    message = refused(root, "rgb=b.tif", "--size", "16", kind=InputError)
    assert "found 0 of 1 windows" in message


def test_a_raster_no_larger_than_the_size_is_one_sample_without_a_window(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 32)
    made = sample(root, "rgb=*.tif", "--size", "32")
    assert cuts(made, "rgb") == [("a.tif", "")]


def test_as_many_windows_as_cover_the_rasters_are_usual(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 40)
    assert len(cuts(sample(root, "rgb=*.tif", "--size", "16"), "rgb")) == 9
    assert len(cuts(sample(root, "rgb=*.tif", "--size", "2", "--replace"), "rgb")) == 64


def test_rasters_take_the_options_of_their_pattern(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 32)
    made = sample(root, "rgb=a.tif?bands=3,2,1&nodata=7", "--size", "16", "--count", "1")
    (found,) = made.samples("rgb")
    assert found.where.endswith("&bands=3,2,1&nodata=7)")
    assert "leave the option window out" in refused(root, "rgb=a.tif?window=0,0,8,8", "--replace")
    assert "has 3 bands" in refused(root, "rgb=a.tif?bands=4", "--replace", kind=InputError)


def test_rasters_and_other_files_are_no_one_modality(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    scene(root, "a.tif", 32)
    assert "a.tif is a raster, which gives windows" in refused(root, "rgb=a.tif", "rgb=walks/a.csv")


@pytest.mark.parametrize("name", ["empty.tif", "mosaic.vrt"])
def test_files_of_no_byte_are_told_by_their_name(root: Path, name: str) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    (root / name).write_bytes(b"")
    assert name in refused(root, f"rgb={name}", kind=InputError)


def test_a_raster_of_nan_that_nobody_declared_gives_only_windows_without(root: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    array = ramp(3, 64, "float32")
    array[:, 20:44, 20:44] = np.nan
    write_tif(root / "a.tif", array)
    for given in sample(root, "rgb=*.tif", "--size", "8", "--count", "30").samples("rgb"):
        prepare(route(imagery()), given.value, lambda _: [1])


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real files are not here")


@needs_shared
def test_real_places_give_equal_bytes_again_and_windows_of_all_of_them(tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="windows need rasterio")
    manifests = []
    for name in ("one", "other"):
        root = tmp_path / name
        root.mkdir()
        for place in sorted((SHARED / "terramesh").iterdir()):
            shutil.copy(place / "S2L2A.tif", root / f"{place.name}.tif")
        made = sample(root, "msi=*.tif", "--size", "64", "--count", "24", "--seed", "3")
        counts = Counter(path for path, _ in cuts(made, "msi"))
        assert set(counts.values()) == {8}
        manifests.append((root / "calibration.json").read_bytes())
    assert manifests[0] == manifests[1]


@needs_shared
def test_a_real_scene_gives_windows_without_its_borders(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="windows need rasterio")
    shutil.copy(SHARED / "rasters" / "RGB.byte.tif", tmp_path)
    made = sample(tmp_path, "rgb=*.tif", "--size", "100", "--count", "20")
    with rasterio.open(tmp_path / "RGB.byte.tif") as file:
        for _, text in cuts(made, "rgb"):
            window = rasterio.windows.Window(*map(int, text.split(",")))
            assert (file.read_masks(window=window) > 0).mean() >= 0.9
