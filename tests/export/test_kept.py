"""What an interrupted export leaves: what was finished, for the same weights, and nothing else."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgespark.export.kept import Kept, check_room, keep
from edgespark.runtime.errors import EdgesparkWarning, OutputError

NAMES = ("a.onnx", "a.onnx.data")


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

    with pytest.raises(KeyboardInterrupt) as caught:
        finish(place, write, stop)
    return Path(caught.value.args[0])


def finish(place: Path, *writers: Callable[[Path], None]) -> None:
    """Finish two files with each writer in turn."""
    with keep(place, "f00") as kept:
        for number, writer in enumerate(writers):
            kept.files(tuple(f"{number}{name}" for name in NAMES) if number else NAMES, writer)


def test_what_was_finished_is_not_made_again(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    with keep(tmp_path / "out", "f00") as kept:
        assert kept.bytes == 8
        files = kept.files(NAMES, fail)
        assert [file.read_bytes() for file in files] == [b"1234", b"1234"]


def test_nothing_is_left_of_an_export_that_went_well(tmp_path: Path) -> None:
    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, write)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_one_that_finished_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), keep(tmp_path / "out", "f00"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_how_to_go_on_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="give the same command again") as caught:
        finish(tmp_path / "out", write, fill_up)
    assert caught.value.exit_code == 2
    with keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, fail)
        assert not (kept.folder / "b.onnx.data").exists()


def test_another_error_of_the_disk_passes(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"), keep(tmp_path / "out", "f00") as kept:
        kept.files(NAMES, broken)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda folder: (folder / NAMES[1]).write_bytes(b"12"),
    "gone": lambda folder: (folder / NAMES[1]).unlink(),
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
        kept.files(NAMES, counted)
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


def test_what_the_disk_cannot_hold_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    check_room(tmp_path / "not yet" / "out", 10**9)
    with pytest.raises(OutputError, match=r"about 2\.0 GB more, 1\.0 GB are free"):
        check_room(tmp_path / "out", 2 * 10**9)


def test_the_ledger_names_whole_files_only(tmp_path: Path) -> None:
    (tmp_path / "begun.data").write_bytes(b"1")
    assert Kept(tmp_path).bytes == 0
    assert not (tmp_path / "begun.data").exists()
