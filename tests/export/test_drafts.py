"""Drafts of killed exports go, drafts of running ones stay, and none is ever half a bundle."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgespark.export import _drafts
from edgespark.export.pack import Draft, pack
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import EdgesparkWarning, OutputError
from tests.export.packs import export, fill, made, names

ROOT = Path(__file__).parents[2]
LONGEST = 300  # seconds, on the most crowded of machines


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return export(tmp_path / "out", "old").root


def test_two_exports_at_once_are_both_whole_and_the_last_one_stays(old: Path) -> None:
    with pack(old, replace=True) as one, pack(old, replace=True) as other:
        fill(one)
        fill(other)
        assert one.finish(made("one")).problems() == []
        assert other.finish(made("other")).problems() == []

    assert Bundle.open(old).manifest.name == "other"
    assert names(old.parent) == {"out"}


def test_what_a_killed_export_left_is_swept_and_what_is_alike_is_not(tmp_path: Path) -> None:
    left, empty, full, file = (tmp_path / f".out.draft-{each * 16}" for each in "0123")
    (left / "bundle").mkdir(parents=True)
    (left / "lock").touch()
    empty.mkdir()
    (full / "mine").mkdir(parents=True)
    file.touch()
    alike = {full.name, file.name, ".out.draft-mine", f".outer.draft-{'0' * 16}"}
    (tmp_path / ".out.draft-mine").mkdir()
    (tmp_path / f".outer.draft-{'0' * 16}").mkdir()

    export(tmp_path / "out")

    assert names(tmp_path) == {"out"} | alike


def test_a_live_draft_of_another_export_is_not_swept(tmp_path: Path) -> None:
    def export_beside(draft: Draft) -> None:
        export(tmp_path / "out", "old")
        assert draft.root.is_dir()

    with pytest.raises(OutputError):
        export(tmp_path / "out", amid=export_beside)


def test_a_draft_whose_lock_was_swept_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "draft"
    folder.mkdir()
    held = _drafts._lock(folder, os.O_RDWR | os.O_CREAT)
    assert held is not None

    assert _drafts._lock(folder, os.O_RDWR) is None  # another process has it

    os.close(held)
    again = _drafts._lock(folder, os.O_RDWR)
    assert again is not None
    os.close(again)
    (folder / "lock").unlink()
    assert _drafts._lock(folder, os.O_RDWR) is None  # another process is removing it
    folder.rmdir()
    assert _drafts._lock(folder, os.O_RDWR | os.O_CREAT) is None  # another process has removed it


def test_a_draft_stays_locked_until_all_of_it_is_removed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def watched(folder: Path) -> None:
        remove(folder)
        assert (folder.parent / "lock").exists()
        assert _drafts._lock(folder.parent, os.O_RDWR) is None

    monkeypatch.setattr(shutil, "rmtree", watched)
    export(old, replace=True)

    assert names(old.parent) == {"out"}


def test_a_draft_that_cannot_be_removed_is_told(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.warns(EdgesparkWarning, match="is left behind"):
        assert export(old, replace=True).manifest.name == "new"


def apart(call: str) -> str:
    """Call a function of `kills` in a process of its own, as forking one with threads is unsafe."""
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    command = [sys.executable, "-W", "error", "-c", f"from tests.export import kills; kills.{call}"]
    env = os.environ | {"PYTHONPATH": path}
    run = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("replace", [True, False])
def test_a_kill_at_any_moment_leaves_the_old_bundle_or_the_new_one(
    tmp_path: Path, *, replace: bool
) -> None:
    found = json.loads(apart(f"survive({str(tmp_path / 'out')!r}, {replace})"))

    assert found.keys() == {"old" if replace else "nothing", "new"}
    assert min(found.values()) >= 3


def test_exports_that_run_at_the_same_time_are_all_whole(tmp_path: Path) -> None:
    apart(f"race({str(tmp_path / 'out')!r})")

    assert Bundle.open(tmp_path / "out").problems() == []
    assert names(tmp_path) == {"out"}
