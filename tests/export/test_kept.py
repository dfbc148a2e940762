"""What an interrupted export leaves: what was finished, for the same weights, and nothing else."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgespark.export.kept import Kept, check_room, keep
from edgespark.runtime.errors import EdgesparkWarning, OutputError

NAMES = ("a.onnx", "a.onnx.data")
OF = "what it is made of"


def write(folder: Path) -> None:
    for name in NAMES:
        (folder / name).write_bytes(b"1234")


def fail(folder: Path) -> None:
    raise AssertionError(folder)


def fill_up(folder: Path) -> None:
    (folder / "b.onnx.data").write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(place: Path) -> Path:
    """Finish two files, and stop."""

    def stop(folder: Path) -> None:
        raise KeyboardInterrupt(folder)

    with (
        pytest.warns(EdgesparkWarning, match=r"kept in .*the same command goes on from there"),
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        finish(place, write, stop)
    return Path(caught.value.args[0])


def finish(place: Path, *writers: Callable[[Path], None]) -> None:
    """Finish two files with each writer in turn."""
    with keep(place, "f00") as kept:
        for number, writer in enumerate(writers):
            kept.files(tuple(f"{number}{name}" for name in NAMES) if number else NAMES, OF, writer)


def test_what_was_finished_is_not_made_again(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    with keep(tmp_path / "out", "f00") as kept:
        assert kept.bytes == 8
        files = kept.files(NAMES, OF, fail)
        assert [file.read_bytes() for file in files] == [b"1234", b"1234"]


def test_nothing_is_left_of_an_export_that_went_well(tmp_path: Path) -> None:
    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, OF, write)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_one_that_finished_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), keep(tmp_path / "out", "f00"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_how_to_go_on_and_loses_nothing(tmp_path: Path) -> None:
    with (
        pytest.warns(EdgesparkWarning, match=r"0\.00 MB are finished and kept in"),
        pytest.raises(OutputError, match="give the same command again") as caught,
    ):
        finish(tmp_path / "out", write, fill_up)
    assert caught.value.exit_code == 2
    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, OF, fail)
        assert not (kept.folder / "b.onnx.data").exists()


def test_another_error_of_the_disk_is_told(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with (
        pytest.raises(OutputError, match=r"cannot be written: Input/output error; mend that"),
        keep(tmp_path / "out", "f00") as kept,
    ):
        kept.files(NAMES, OF, broken)
    assert list(tmp_path.iterdir()) == []


def same_size(folder: Path) -> None:
    (folder / NAMES[1]).write_bytes(b"1235")
    os.utime(folder / NAMES[1], ns=(1, 1))


def linked(folder: Path) -> None:
    (folder / NAMES[1]).rename(folder / "elsewhere.onnx.data")
    (folder / NAMES[1]).symlink_to("elsewhere.onnx.data")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda folder: (folder / NAMES[1]).write_bytes(b"12"),
    "gone": lambda folder: (folder / NAMES[1]).unlink(),
    "same size": same_size,
    "link": linked,
    "other ledger": lambda folder: (folder / "finished.json").write_text('{"a.onnx": 4}'),
    "ledger": lambda folder: (folder / "finished.json").write_text("[1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_made_again(damage: str, tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "out")
    DAMAGES[damage](folder)
    made: list[Path] = []

    def counted(folder: Path) -> None:
        made.append(folder)
        write(folder)

    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, OF, counted)
    assert len(made) == 1


def test_other_weights_begin_anew_and_are_told_of_what_lies_there(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "out")
    with (
        pytest.warns(
            EdgesparkWarning, match="interrupted export of other weights, or by other versions"
        ),
        keep(tmp_path / "out", "f11") as kept,
    ):
        assert kept.bytes == 0
    assert folder.exists()


def test_two_exports_at_once_are_refused(tmp_path: Path) -> None:
    with (
        keep(tmp_path / "out", "f00") as kept,
        pytest.raises(OutputError, match="another export of the same weights"),
        keep(tmp_path / "out", "f00"),
    ):
        pass
    assert kept.bytes == 0


def test_two_exports_of_other_weights_to_one_place_are_refused(tmp_path: Path) -> None:
    with (
        keep(tmp_path / "out", "f00"),
        pytest.raises(OutputError, match="another export to it is running, of other weights"),
        keep(tmp_path / "out", "f11"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_cannot_hold_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    check_room(tmp_path / "not yet" / "out", 10**9)
    with pytest.raises(OutputError, match=r"about 2\.00 GB more, 1\.00 GB are free"):
        check_room(tmp_path / "out", 2 * 10**9)


def test_the_ledger_names_whole_files_only(tmp_path: Path) -> None:
    (tmp_path / "begun.onnx.data").write_bytes(b"1")
    assert Kept(tmp_path).bytes == 0
    assert not (tmp_path / "begun.onnx.data").exists()


def test_what_is_made_of_something_else_is_made_again(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    with keep(tmp_path / "out", "f00") as kept:
        assert not kept.has(NAMES, "something else")
        assert kept.bytes == 0
        assert not (kept.folder / NAMES[1]).exists()
        kept.files(NAMES, "something else", write)
        assert kept.has(NAMES, "something else")


def test_what_no_export_wrote_is_never_removed(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "out")
    (folder / "mine.txt").write_text("mine")
    (folder / "folder").mkdir()
    with (
        pytest.warns(EdgesparkWarning, match="is left behind"),
        keep(tmp_path / "out", "f00") as kept,
    ):
        kept.files(NAMES, OF, fail)
    assert {each.name for each in folder.iterdir()} == {"mine.txt", "folder"}


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").write_text("mine")
    (tmp_path / ".out.kept-f00").symlink_to("mine")
    with (
        pytest.raises(OutputError, match="it is a link; move it away"),
        keep(tmp_path / "out", "f00"),
    ):
        pass
    assert (tmp_path / "mine" / "model.onnx").read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "lock"])
def test_something_else_in_its_place_is_told(name: str, tmp_path: Path) -> None:
    folder = tmp_path / ".out.kept-f00"
    if name == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "lock").mkdir()
    with (
        pytest.raises(OutputError, match="cannot be used to keep what is finished"),
        keep(tmp_path / "out", "f00"),
    ):
        pass
    assert folder.exists()


def test_a_folder_that_another_export_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, left = fcntl.flock, iter([True])

    def ended(lock: int, how: int) -> None:
        if next(left, False):
            shutil.rmtree(tmp_path / ".out.kept-f00")
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", ended)
    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, OF, write)
    assert list(tmp_path.iterdir()) == []


def test_a_filesystem_without_links_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    with pytest.raises(OutputError, match="not permitted"), keep(tmp_path / "out", "f00"):
        pass


def test_a_half_written_file_is_removed_at_once(tmp_path: Path) -> None:
    def half(folder: Path) -> None:
        (folder / NAMES[1]).write_bytes(b"1")
        raise OSError(errno.EFBIG, "File too large")

    kept = Kept(tmp_path)
    with pytest.raises(OutputError, match="is full; make room"):
        kept.files(NAMES, OF, half)
    assert list(tmp_path.iterdir()) == []
