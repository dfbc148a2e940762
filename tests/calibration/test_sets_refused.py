"""What can be no calibration set is told, all of it, with what to do; nothing is made up for it."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.calibration.set_manifest import LONGEST
from edgespark.calibration.set_options import FILES, KINDS
from edgespark.calibration.sets import CalibrationSet, Item, Items, Rows, check_fit, write_set
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.inputs import prepare
from edgespark.runtime.manifest import Head
from edgespark.runtime.preprocessing import Text
from tests.calibration.made_sets import CODE, items, lay, listed, made, manifest, rewrite, save
from tests.runtime.scenes import imagery, route

CASES = sorted((Path(__file__).parent / "cases" / "sets").glob("*.json"))
NESTED = 100_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


def refused(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        CalibrationSet.open(root)
    return str(caught.value)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_bad_manifest_is_refused_with_every_problem(path: Path, root: Path) -> None:
    case, plain = json.loads(path.read_text(encoding="utf-8")), manifest(made(root).root)
    if "add" in case:
        (root / case["add"]).write_text("a stray")
        plain["files"].append(listed(root, case["add"]))
    kept = {name: value for name, value in plain.items() if name not in case.get("drop", ())}
    rewrite(root, {**kept, **case.get("merge", {})})
    if "raw" in case or "repeat" in case:
        text = case["raw"] if "raw" in case else case["repeat"] * NESTED
        (root / "calibration.json").write_text(text, encoding="utf-8")
    message = refused(root)
    assert [each for each in case["expect"] if each not in message] == []


def test_no_folder_is_told_as_such(root: Path) -> None:
    assert "no calibration set at" in refused(root)
    assert "is no folder" in refused(made(root).root / "calibration.json")


def test_a_folder_without_a_manifest_says_how_to_make_one(root: Path) -> None:
    root.mkdir()
    with pytest.raises(MissingInput, match=r"no calibration\.json in it.*edgespark sample"):
        CalibrationSet.open(root)


def test_every_file_that_changed_is_named_and_what_to_do(root: Path) -> None:
    made(root)
    (root / "walks" / "a.csv").write_text("other")
    text = (root / "walks" / "b.csv").read_text()
    (root / "walks" / "b.csv").write_text(text.replace("0", "9"))
    (root / "code" / "label.npy").unlink()
    message = refused(root)
    assert "'code/label.npy' is missing" in message
    assert "'walks/a.csv' has 5 bytes, the manifest says" in message
    assert "'walks/b.csv' was changed: its SHA-256 is" in message
    assert "bring the files back as they were, or make the manifest anew" in message


def test_of_very_many_problems_the_first_are_told(root: Path) -> None:
    plain = manifest(made(root).root)
    plain["modalities"]["trajectory"]["items"] = [{"path": f"/{i}.tif"} for i in range(1000)]
    message = refused(rewrite(root, plain))
    assert "items[49]" in message
    assert "items[50]" not in message
    assert "and 950 more" in message


def test_more_modalities_than_any_bundle_has_are_not_looked_at(root: Path) -> None:
    plain = manifest(made(root).root)
    one = next(iter(plain["modalities"].values()))
    plain["modalities"] = {f"m{i}": one for i in range(1001)}
    assert "there are 1001; 1000 at most" in refused(rewrite(root, plain))


def test_an_endless_path_is_refused_without_being_told(root: Path) -> None:
    plain = manifest(made(root).root)
    plain["files"][0]["path"] = "a" * 100_000
    message = refused(rewrite(root, plain))
    assert "has 100000 letters; 4096 at most" in message
    assert len(message) < 1000


def test_a_huge_manifest_is_not_read_whole(root: Path) -> None:
    made(root)
    with (root / "calibration.json").open("r+b") as file:
        file.truncate(LONGEST * 1000)  # sparse: it takes no room
    assert f"has more than {LONGEST} bytes" in refused(root)


def test_a_manifest_that_is_a_pipe_is_not_waited_for(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "calibration.json")
    assert "is a device or a pipe" in refused(root)


def test_a_file_that_became_a_pipe_is_not_waited_for(root: Path) -> None:
    made(root)
    (root / "walks" / "a.csv").unlink()
    os.mkfifo(root / "walks" / "a.csv")
    assert "is a device or a pipe" in refused(root)


@pytest.mark.parametrize("name", ["walks/a.csv", "code", "calibration.json"])
def test_links_that_leave_the_folder_are_refused(root: Path, name: str) -> None:
    made(root)
    (root / name).rename(root.parent / "outside")
    (root / name).symlink_to(root.parent / "outside")
    assert "leads out of the folder" in refused(root)


def test_a_loop_of_links_is_refused(root: Path) -> None:
    made(root)
    (root / "walks" / "a.csv").unlink()
    (root / "walks" / "a.csv").symlink_to("a.csv")
    assert "'walks/a.csv'" in refused(root)


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    made(root)
    (root / "walks" / "a.csv").rename(root / "kept.csv")
    (root / "walks" / "a.csv").symlink_to("../kept.csv")
    assert CalibrationSet.open(root).count("trajectory") == 2


def test_what_appears_beside_a_raster_later_changes_how_it_is_read_and_is_refused(
    root: Path,
) -> None:
    lay(root)
    (root / "a.tif").write_bytes(b"II")
    write_set(root, {"rgb": Items(items=(Item(path="a.tif"),))})
    assert CalibrationSet.open(root).count("rgb") == 1
    (root / "a.tif.msk").write_bytes(b"II")
    assert "$.modalities.rgb.items[0].path: 'a.tif.msk' is not among the files" in refused(root)


def test_a_file_of_rows_that_appears_later_is_refused(root: Path) -> None:
    made(root)
    np.save(root / "code" / "target.npy", np.ones(3))
    assert "$.modalities.code.folder: 'code/target.npy' is not among the files" in refused(root)


def test_a_file_whose_name_reads_as_options_is_refused(root: Path) -> None:
    made(root)
    (root / "walks" / "a.csv?agent=1&at=0.4").write_text("a trap")
    assert "is the name of a file; give that another name" in refused(root)


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "no row": ({"input": np.ones((0, 3))}, "there is no sample in it: input.npy has 0 rows"),
    "one number": ({"input": np.array(1.0)}, "input.npy holds float64 []; expected rows"),
    "complex": ({"input": np.ones(3, complex)}, "input.npy holds complex128 [3]; expected rows"),
    "lengths": ({"input": np.ones(3), "label": np.ones(2, int)}, "differ in their number of rows"),
    "labels that are no numbers": (
        {"input": np.ones(3), "label": CODE},
        "label.npy holds <U5 [3]; expected whole numbers, one a row",
    ),
    "labels of two axes": (
        {"input": np.ones(3), "label": np.ones((3, 1), int)},
        "label.npy holds int64 [3, 1]; expected whole numbers, one a row",
    ),
    "label below zero": (
        {"input": np.ones(3), "label": np.array([0, -5, 1])},
        "label.npy holds -5, which is no index of a class",
    ),
    "label beyond int64": (
        {"input": np.ones(2), "label": np.array([1, 2**63], np.uint64)},
        "label.npy holds 9223372036854775808, which is no index of a class",
    ),
    "questions of numbers": (
        {"input": np.ones(3), "question": np.ones(3)},
        "question.npy holds float64 [3]; expected text, one a row",
    ),
    "targets of text": ({"input": np.ones(3), "target": CODE}, "target.npy holds <U5 [3]"),
}


@pytest.mark.parametrize(("columns", "says"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows_that_do_not_belong_together_are_refused(
    root: Path, columns: dict[str, Any], says: str
) -> None:
    save(root / "x", **columns)
    with pytest.raises(InputError, match=re.escape(says)):
        write_set(root, {"x": Rows(folder="x")})
    assert not (root / "calibration.json").exists()


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_array_is_refused(root: Path, length: int) -> None:
    place = save(root / "x", input=np.ones((4, 3))) / "input.npy"
    place.write_bytes(place.read_bytes()[:length])
    with pytest.raises(InputError, match=r"input\.npy: is no \.npy file of numbers"):
        write_set(root, {"x": Rows(folder="x")})


def test_objects_in_an_array_are_never_unpickled(root: Path) -> None:
    (root / "x").mkdir(parents=True)
    np.save(root / "x" / "input.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(InputError, match=r"input\.npy: is no \.npy file of numbers"):
        write_set(root, {"x": Rows(folder="x")})


def test_rows_without_inputs_are_refused(root: Path) -> None:
    save(root / "x", label=np.ones(3, int))
    with pytest.raises(InputError, match=r"'x/input\.npy' is missing"):
        write_set(root, {"x": Rows(folder="x")})


@pytest.mark.parametrize("dtype", ["<U4", ">U4"])
def test_text_of_what_is_no_letter_is_refused(root: Path, dtype: str) -> None:
    made(root)
    count = len(np.load(root / "code" / "input.npy"))
    path = root / "code" / "question.npy"
    np.save(path, np.array(["what"] * count, dtype))
    path.write_bytes(path.read_bytes()[:-4] + b"\xff" * 4)
    samples = write_set(root, {"code": Rows(folder="code")}, replace=True).samples("code")
    with pytest.raises(InputError, match=r"question\.npy: holds text with what is no letter"):
        list(samples)


def test_a_target_that_is_not_finite_is_named_with_its_row(root: Path) -> None:
    save(root / "x", input=np.ones(2), target=np.array([1, np.inf]))
    rows = write_set(root, {"x": Rows(folder="x")}).samples("x")
    next(rows)
    with pytest.raises(InputError, match=r"target\.npy: row 1 is not finite"):
        next(rows)


def test_rows_that_are_cut_off_while_they_are_read_are_told(root: Path) -> None:
    place = save(root / "x", input=np.ones((8, 4096))) / "input.npy"
    rows = write_set(root, {"x": Rows(folder="x")}).samples("x")
    next(rows)
    with place.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(InputError, match="ends early: it was cut off while it was read"):
        next(rows)


@pytest.mark.parametrize("modalities", [{}, {"my msi": items()}])
def test_what_no_manifest_can_say_is_refused_before_it_is_written(
    root: Path, modalities: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="modalities: "):
        write_set(lay(root), modalities)


def test_a_sample_of_the_wrong_modality_is_known_by_its_place(root: Path) -> None:
    (_, sample) = made(root).samples("trajectory")
    with pytest.raises(InputError, match=r"b\.csv: cannot tell what it is by '\.csv'"):
        prepare(route(imagery()), sample.value, lambda _: [1])
    assert sample.where.startswith("sample 1 of trajectory (walks/b.csv")


def test_a_window_outside_its_raster_is_refused_when_it_is_prepared(root: Path) -> None:
    pytest.importorskip("rasterio", reason="rasters need rasterio")
    from tests.runtime.scenes import ramp, write_tif

    write_tif(lay(root) / "a.tif", ramp())
    item = Item(path="a.tif", options={"window": "4,4,8,8"})
    (sample,) = write_set(root, {"rgb": Items(items=(item,))}).samples("rgb")
    with pytest.raises(InputError, match="leaves the raster of 8 columns and 8 rows"):
        prepare(route(imagery()), sample.value, lambda _: [1])


def test_every_option_of_text_is_known_to_name_a_file_or_none() -> None:
    text = {name for kind in KINDS for name, option in kind.items() if option.read is str}
    assert text == {*FILES, "agent", "at"}


LABELS = Head(part="head", task="classification", prompt="", labels=("sea", "land"))
STEPS = Head(part="head", task="regression", prompt="", shape=(12, 2), metrics=("ADE",))
ROUTES = (
    replace(route(imagery()), head=LABELS),
    replace(route(Text(max_tokens=8)), modality="language"),
    replace(route(imagery()), modality="trajectory", head=STEPS),
)
FITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "text for a picture": (
        "rgb",
        {"input": CODE},
        "input.npy holds text; the bundle takes I",
    ),
    "numbers for text": (
        "language",
        {"input": np.ones(3)},
        "float64 [3]; the bundle takes Text",
    ),
    "a label too high": (
        "rgb",
        {"input": np.ones((2, 3, 8, 8)), "label": np.array([0, 2])},
        "$.modalities.rgb: label 2 is no index of the 2 labels that its head has",
    ),
    "a target too short": (
        "trajectory",
        {"input": np.ones((2, 8, 2)), "target": np.ones((2, 3))},
        "targets have shape [3]; its head gives [12, 2]",
    ),
}


@pytest.mark.parametrize(("modality", "columns", "says"), FITS.values(), ids=FITS)
def test_a_set_that_the_bundle_cannot_take_is_refused_before_any_sample_is_read(
    root: Path, modality: str, columns: dict[str, Any], says: str
) -> None:
    save(root / "x", **columns)
    found = write_set(root, {modality: Rows(folder="x")})
    with pytest.raises(InputError, match=re.escape(says)):
        check_fit(found, ROUTES)


def test_an_items_label_is_judged_as_those_of_rows(root: Path) -> None:
    (lay(root) / "a.tif").write_bytes(b"II")
    found = write_set(root, {"rgb": Items(items=(Item(path="a.tif", label=2),))})
    with pytest.raises(InputError, match="label 2 is no index of the 2 labels"):
        check_fit(found, ROUTES)


def test_a_set_that_fits_is_taken(root: Path) -> None:
    save(root / "x", input=np.ones((2, 3, 8, 8)), label=np.array([0, 1]))
    save(root / "y", input=np.ones((2, 8, 2)), target=np.ones((2, 12, 2)))
    rows = {"rgb": "x", "trajectory": "y", "language": "code", "unheard": "code"}
    found = write_set(lay(root), {name: Rows(folder=folder) for name, folder in rows.items()})
    check_fit(found, ROUTES)
