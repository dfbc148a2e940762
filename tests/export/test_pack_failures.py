"""Whatever goes wrong, the destination holds the old bundle or the new one, whole."""

import errno
import os
import resource
from pathlib import Path

import pytest

from edgespark.export import _rename
from edgespark.export.pack import Draft, is_bundle, pack
from edgespark.runtime import _decode
from edgespark.runtime.errors import BundleError, OutputError
from edgespark.runtime.manifest import Manifest
from tests.export.packs import assert_old, export, fill, names
from tests.runtime import bundles


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return export(tmp_path / "out", "old").root


def test_leaving_without_finish_changes_nothing(old: Path) -> None:
    with pack(old, replace=True) as draft:
        fill(draft)

    assert_old(old)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, FileNotFoundError])
def test_an_error_amid_the_work_changes_nothing_and_stays_itself(
    error: type[BaseException], old: Path
) -> None:
    def fail(_: Draft) -> None:
        raise error

    with pytest.raises(error) as caught:
        export(old, replace=True, amid=fail)

    assert caught.type is error
    assert_old(old)


def test_what_the_reader_refuses_is_not_published(old: Path) -> None:
    def spoil(draft: Draft) -> None:
        draft.path("card.md").write_bytes(b"changed after it was recorded")
        draft.add("spare.txt", b"recorded by none")

    with pytest.raises(BundleError, match="the draft of") as caught:
        export(old, replace=True, amid=spoil)

    assert len(caught.value.problems) == 2
    assert_old(old)


def test_a_manifest_that_contradicts_itself_is_not_published(old: Path) -> None:
    value = bundles.manifest()
    value["language"]["template"] = "no prompt"
    manifest, _ = _decode.decode(Manifest, value)
    assert manifest is not None

    with pytest.raises(BundleError, match="template"):
        export(old, replace=True, amid=lambda draft: draft.finish(manifest))

    assert_old(old)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_an_output_error_and_the_old_bundle_stays(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(OutputError, match="No space left on device"):
        export(old, replace=True)

    assert_old(old)


def test_a_disk_that_fills_under_another_tool_is_an_output_error(old: Path) -> None:
    with pytest.raises(OutputError, match="No space left"):
        export(old, replace=True, amid=full)

    assert_old(old)


def test_a_limit_that_the_kernel_sets_is_an_output_error(old: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="too large"):
            export(old, replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert_old(old)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EXDEV])
def test_a_filesystem_without_the_exchange_is_told_before_the_work(
    code: int, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, _rename.REASONS[code])

    monkeypatch.setattr(_rename, "_renameat2", refuse)
    with pytest.raises(OutputError, match="atomic"), pack(old, replace=True):
        pytest.fail("the long work began")

    assert_old(old)


def test_an_exchange_that_fails_at_the_end_loses_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, _rename.REASONS[errno.EXDEV])

    with pytest.raises(OutputError, match="atomic"):
        export(old, replace=True, amid=lambda _: monkeypatch.setattr(_rename, "_renameat2", refuse))

    assert_old(old)


def test_a_failed_move_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    with pytest.raises(FileNotFoundError):
        _rename.exchange(one, other)
    other.mkdir()
    with pytest.raises(FileExistsError):
        _rename.move(one, other)
    assert names(tmp_path) == {"one", "other"}


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"

    with pytest.raises(OutputError, match="--replace"):
        export(out, amid=lambda _: export(out, "old"))

    assert_old(out)


def test_what_appears_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = _rename.move

    def late(source: Path, target: Path) -> None:
        target.mkdir()
        move(source, target)

    monkeypatch.setattr(_rename, "move", late)
    with pytest.raises(OutputError, match="something was put there meanwhile"):
        export(tmp_path / "out")

    assert names(tmp_path) == {"out"}
    assert names(tmp_path / "out") == set()


def test_what_becomes_something_else_meanwhile_is_not_replaced(old: Path) -> None:
    with pytest.raises(OutputError, match="no bundle"):
        export(old, replace=True, amid=lambda _: (old / "manifest.json").unlink())

    assert names(old.parent) == {"out"}
    assert (old / "card.md").exists()


def test_what_becomes_something_else_at_the_last_moment_is_put_back(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = _rename.exchange

    def late(one: Path, other: Path) -> None:
        (old / "manifest.json").unlink(missing_ok=True)
        exchange(one, other)

    with pytest.raises(OutputError, match="no longer a bundle"):
        export(old, replace=True, amid=lambda _: monkeypatch.setattr(_rename, "exchange", late))

    assert (old / "card.md").exists()
    assert not is_bundle(old)
