"""Writing a bundle: where it may stand, and what a writer may put into it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespark.export.pack import destination, pack
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import OutputError
from tests.export.packs import assert_old, export, fill, made, names
from tests.runtime import bundles


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return export(tmp_path / "out", "old").root


def test_a_new_bundle_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    bundle = export(tmp_path / "out")

    assert bundle.root == tmp_path / "out"
    assert bundle.problems() == []
    assert Bundle.open(tmp_path / "out").manifest == made("new")
    assert names(tmp_path) == {"out"}


def test_folders_above_that_are_missing_are_made(tmp_path: Path) -> None:
    assert export(tmp_path / "none" / "so" / "far").root == tmp_path / "none" / "so" / "far"
    assert destination(tmp_path / "other" / "out", replace=False) == tmp_path / "other" / "out"
    assert names(tmp_path) == {"none"}


def test_a_file_of_another_tool_is_recorded_as_it_lies(tmp_path: Path) -> None:
    content = bundles.contents()["card.md"]
    with pack(tmp_path / "out") as draft:
        fill(draft)
        draft.path("card.md").write_bytes(content)
        assert draft.record("card.md") == draft.add("card.md", content)


def test_replacing_takes_the_word_replace(old: Path) -> None:
    with pytest.raises(OutputError, match="give --replace to replace it") as caught:
        export(old)

    assert caught.value.exit_code == 2
    assert_old(old)


def test_replacing_leaves_the_new_bundle_alone(old: Path) -> None:
    (old / "derived").mkdir()

    assert export(old, replace=True).manifest.name == "new"
    assert names(old.parent) == {"out"}
    assert "derived" not in names(old)


def test_replace_is_no_duty(tmp_path: Path) -> None:
    assert export(tmp_path / "out", replace=True).problems() == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "card.md").unlink(),
        lambda out: (out / "manifest.json").write_text('{"format": "edgespark-bundle"}'),
        lambda out: (out / "manifest.json").write_text(
            json.dumps(bundles.manifest() | {"version": 99})
        ),
    ],
    ids=["missing file", "empty manifest", "another version"],
)
def test_a_damaged_bundle_is_still_one_to_replace(
    damage: Callable[[Path], object], old: Path
) -> None:
    damage(old)

    assert export(old, replace=True).problems() == []


def a_file(out: Path) -> None:
    out.write_text("mine")


def an_empty_folder(out: Path) -> None:
    out.mkdir()


def a_folder(out: Path) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("mine")


def a_folder_with_another_manifest(out: Path) -> None:
    out.mkdir()
    (out / "manifest.json").write_text('{"format": "web-extension"}')


def a_folder_with_a_broken_manifest(out: Path) -> None:
    out.mkdir()
    (out / "manifest.json").write_text("{")


def a_folder_with_a_pipe(out: Path) -> None:
    out.mkdir()
    os.mkfifo(out / "manifest.json")


def a_link_to_a_bundle(out: Path) -> None:
    bundles.write(out.parent / "elsewhere")
    out.symlink_to("elsewhere")


def a_dangling_link(out: Path) -> None:
    out.symlink_to("nowhere")


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    "put",
    [
        a_file,
        an_empty_folder,
        a_folder,
        a_folder_with_another_manifest,
        a_folder_with_a_broken_manifest,
        a_folder_with_a_pipe,
        a_link_to_a_bundle,
        a_dangling_link,
    ],
)
def test_what_is_no_bundle_is_never_replaced(
    put: Callable[[Path], None], tmp_path: Path, *, replace: bool
) -> None:
    out = tmp_path / "out"
    put(out)
    before = (os.lstat(out).st_ino, names(tmp_path))

    with pytest.raises(OutputError, match=r"is a file|no bundle|is a link") as caught:
        export(out, replace=replace)

    assert caught.value.exit_code == 2
    assert (os.lstat(out).st_ino, names(tmp_path)) == before


@pytest.mark.parametrize(
    "out", ["", ".", "/", "..", "a/..", "file/out", "file/deep/out", "nul\0", "n" * 300]
)
def test_a_place_where_no_bundle_can_stand_is_an_output_error(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OutputError), pack(out):
        pytest.fail("the long work began")


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    sealed.chmod(0o555)
    out = (Path("/proc") if os.geteuid() == 0 else sealed) / "out"  # root may write anywhere else

    with pytest.raises(OutputError, match=r"not writable|was not written"), pack(out):
        pytest.fail("the long work began")


@pytest.mark.parametrize("path", ["../out", "/etc/out", "manifest.json", "derived/x", ""])
def test_a_draft_writes_nowhere_else(path: str, tmp_path: Path) -> None:
    with pack(tmp_path / "out") as draft, pytest.raises(ValueError, match="path"):
        draft.add(path, b"")


def test_a_published_bundle_takes_no_more_files(tmp_path: Path) -> None:
    with pack(tmp_path / "out") as draft:
        fill(draft)
        draft.finish(made("new"))
        with pytest.raises(ValueError, match="is published"):
            draft.add("late.txt", b"")
        with pytest.raises(ValueError, match="is published"):
            draft.finish(made("newer"))

    assert Bundle.open(tmp_path / "out").problems() == []


def test_destination_gives_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert destination("out/", replace=False) == tmp_path / "out"
