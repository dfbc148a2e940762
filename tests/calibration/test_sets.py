"""A calibration set gives what the runtime takes, one sample at a time, and is bound by hash."""

import gc
import tracemalloc
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration.sets import CalibrationSet, Item, Items, Rows, write_set
from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError, OutputError, UnknownModality
from edgespark.runtime.inputs import prepare
from edgespark.runtime.preprocessing import Text
from tests.calibration.made_sets import CODE, WALK, items, lay, made, manifest, rewrite, save
from tests.runtime.scenes import route


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


def test_what_was_written_is_read_again(root: Path) -> None:
    written = made(root)
    opened = CalibrationSet.open(root)
    assert opened == written
    assert opened.digest == written.digest
    assert opened.modalities == ("trajectory", "code")
    assert [opened.count(each) for each in opened.modalities] == [2, 3]


def test_an_item_is_what_the_command_line_would_say(root: Path) -> None:
    first, second = made(root).samples("trajectory")
    assert first.value == Argument(f"@{root.resolve()}/walks/a.csv?agent=1&at=0.4")
    assert first.where == "sample 0 of trajectory (walks/a.csv?agent=1&at=0.4)"
    assert (first.label, first.target, first.question, first.answer) == (None, None, None, None)
    assert second.value == Argument(f"@{root.resolve()}/walks/b.csv")
    assert (second.question, second.answer) == ("where?", "here")
    np.testing.assert_array_equal(second.target, np.ones((3, 2)))


def test_a_row_holds_what_each_file_says_of_it(root: Path) -> None:
    rows = list(made(root).samples("code"))
    assert [type(row.value) for row in rows] == [str] * 3
    assert [row.value for row in rows] == list(CODE)
    assert [row.label for row in rows] == [0, 1, 2]
    assert [row.answer for row in rows] == list(CODE)
    assert rows[2].where == "row 2 of code"


def test_rows_of_numbers_are_arrays_and_targets_are_those_of_the_row(root: Path) -> None:
    given = np.arange(24, dtype=np.int16).reshape(2, 3, 2, 2)
    save(root / "msi", input=given, target=np.array([[1.0], [2.0]], np.float32))
    first, second = write_set(root, {"msi": Rows(folder="msi")}).samples("msi")
    np.testing.assert_array_equal(np.array([first.value, second.value]), given)
    assert (first.label, second.target) == (None, np.array([2.0]))


def test_the_runtime_takes_the_samples_as_they_are(root: Path) -> None:
    (lay(root) / "notes.txt").write_text("a field\n", encoding="utf-8")
    notes = Items(items=(Item(path="notes.txt"),))
    opened = write_set(root, {"language": notes, "code": Rows(folder="code")})
    heard: list[str] = []

    def encode(words: str) -> list[int]:
        heard.append(words)
        return [1]

    for modality in opened.modalities:
        for sample in opened.samples(modality):
            prepare(route(Text(max_tokens=8)), sample.value, encode)
    assert heard == ["a field", *CODE]


def test_a_file_that_an_option_names_is_one_of_the_set(root: Path) -> None:
    (lay(root) / "roads.graphml").write_text("<graphml/>")
    item = Item(path="walks/a.csv", options={"graph": "roads.graphml"})
    opened = write_set(root, {"graph": Items(items=(item,))})
    (sample,) = opened.samples("graph")
    assert sample.value == Argument(
        f"@{root.resolve()}/walks/a.csv?graph={root.resolve()}/roads.graphml"
    )
    (root / "roads.graphml").write_text("<graphML/>")
    with pytest.raises(InputError, match=r"'roads\.graphml' was changed"):
        CalibrationSet.open(root)


def test_the_digest_covers_what_files_hold_and_not_how_the_manifest_is_laid_out(
    tmp_path: Path,
) -> None:
    one, other = made(tmp_path / "one"), lay(tmp_path / "other")
    rewrite(one.root, dict(reversed(manifest(one.root).items())))
    assert CalibrationSet.open(one.root).digest == one.digest
    (other / "walks" / "b.csv").write_text(WALK)
    changed = write_set(other, {"trajectory": items(), "code": Rows(folder="code")}, seed=7)
    assert changed.digest != one.digest


def test_defaults_that_are_written_out_change_no_digest(root: Path) -> None:
    digest, plain = made(root).digest, manifest(root)
    plain["modalities"]["trajectory"]["items"][1]["options"] = {}
    plain["modalities"]["trajectory"]["items"][1]["label"] = None
    assert CalibrationSet.open(rewrite(root, plain)).digest == digest


def test_equal_sets_have_equal_bytes(tmp_path: Path) -> None:
    paths = [made(tmp_path / name).root / "calibration.json" for name in ("one", "other")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_manifest_is_only_replaced_where_that_is_asked_for(root: Path) -> None:
    made(root)
    with pytest.raises(OutputError, match="is there already; --replace writes over it"):
        write_set(root, {"trajectory": items()})
    assert CalibrationSet.open(root).count("code") == 3
    assert write_set(root, {"trajectory": items()}, replace=True).modalities == ("trajectory",)
    assert sorted(path.name for path in root.iterdir()) == ["calibration.json", "code", "walks"]


def test_what_is_no_file_is_never_replaced(root: Path) -> None:
    (lay(root) / "calibration.json").mkdir()
    with pytest.raises(OutputError, match="is no regular file"):
        write_set(root, {"trajectory": items()}, replace=True)


def test_a_set_that_cannot_be_made_leaves_the_manifest_that_is_there(root: Path) -> None:
    digest = made(root).digest
    lost = Items(items=(Item(path="a.tif"), Item(path="b.tif")))
    with pytest.raises(InputError, match=r"(?s)'a\.tif' is missing.*'b\.tif' is missing"):
        write_set(root, {"msi": lost}, replace=True)
    assert CalibrationSet.open(root).digest == digest


def test_a_modality_that_the_set_lacks_is_told_with_those_that_it_has(root: Path) -> None:
    with pytest.raises(UnknownModality, match=r"no samples of 'codes' \(did you mean 'code'\?\)"):
        made(root).count("codes")


def test_hashing_shows_how_far_it_is(root: Path) -> None:
    seen: list[str] = []

    def watch(paths: Sequence[str]) -> AbstractContextManager[Iterable[str]]:
        seen.extend(paths)
        return nullcontext(paths)

    made(root)
    CalibrationSet.open(root, watch)
    assert seen[:2] == ["code/answer.npy", "code/input.npy"]


def peak(root: Path) -> int:
    """Return how many bytes it takes, at most, to open a set and go through it."""
    gc.collect()
    tracemalloc.start()
    try:
        count = sum(1 for _ in CalibrationSet.open(root).samples("msi"))
        assert count >= 40
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_as_many_rows_take_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for count in (40, 400):
        root = tmp_path / str(count)
        save(root / "msi", input=np.ones((count, 12, 64, 64), np.int16), label=np.zeros(count, int))
        write_set(root, {"msi": Rows(folder="msi")})
        peak(root)  # imports and caches
        peaks.append(peak(root))
    assert peaks[1] <= 1.1 * peaks[0]
