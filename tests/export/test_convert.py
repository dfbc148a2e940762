"""A conversion to safetensors: the same tensors, resumable, and honest about the disk."""

import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from safetensors.torch import load_file

from edgespark.export.checkpoints import convert as converting
from edgespark.export.checkpoints import ledger
from edgespark.export.checkpoints.convert import convert, plan
from edgespark.export.checkpoints.safe import write_tensors
from edgespark.export.checkpoints.stored import Stored, open_checkpoint
from edgespark.runtime.errors import InputError, OutputError
from tests.export.checkpoint_cases import saved, tensors

SHARD = 24  # bytes: one tensor to a shard, or two
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return open_checkpoint(saved(tmp_path / "a.pth", tensors()))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def fail_at(monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException = FULL) -> None:
    """Let the writing of a tensor fail, after so many."""
    left = iter(range(count))

    def writing(file: BinaryIO, tensors: Iterable[torch.Tensor]) -> Iterator[int]:
        for each in tensors:
            if next(left, None) is None:
                file.write(b"half a tensor")
                raise error
            yield from write_tensors(file, [each])

    monkeypatch.setattr(converting, "write_tensors", writing)


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def inodes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_ino for each in folder.glob("*.safetensors")}


def assert_same(out: Path, stored: Stored) -> None:
    again = open_checkpoint(out)
    assert again.shapes == stored.shapes
    assert again.dtypes == stored.dtypes
    assert all(torch.equal(again.tensor(name), stored.tensor(name)) for name in stored.shapes)


@pytest.mark.parametrize("shard_bytes", [1, SHARD, 2**20])
def test_the_shards_hold_the_same_tensors(stored: Stored, out: Path, shard_bytes: int) -> None:
    convert(stored, out, shard_bytes=shard_bytes)
    assert_same(out, stored)
    for path in out.glob("*.safetensors"):
        assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
        load_file(path)


def test_the_index_says_where_each_tensor_stands(stored: Stored, out: Path) -> None:
    convert(stored, out, shard_bytes=SHARD)
    index = json.loads((out / "model.safetensors.index.json").read_bytes())
    assert index["metadata"] == {"total_size": 5 * 4 + 2 + 2 * 24}
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(out / file)[name], stored.tensor(name))
    assert index["weight_map"].keys() == stored.shapes.keys()


def test_shards_keep_the_order_and_the_limit(stored: Stored) -> None:
    shards = plan(stored, SHARD)
    assert [[each.name for each in shard.tensors] for shard in shards] == [
        ["norm.weight", "clip.logit_scale"],
        ["layers.0.attention.wq.weight"],
        ["layers.1.attention.wq.weight"],
    ]
    with pytest.raises(ValueError, match="at least one byte"):
        plan(stored, 0)


def test_a_full_disk_is_found_out_beforehand(
    stored: Stored, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"needs 1,04\d,\d+ bytes, and 1,000 are free"):
        convert(stored, out)
    assert names(out) == set()


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
def test_an_interrupted_conversion_goes_on_where_it_was(
    stored: Stored, out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, 3, error)
        with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
            convert(stored, out, shard_bytes=SHARD)
    if error is FULL:
        assert "No space left" in str(caught.value)
        assert "run the same again" in str(caught.value)
    finished = inodes(out)
    assert len(finished) == 2
    assert not list(out.glob("*.partial"))
    with pytest.raises(InputError, match="its conversion was interrupted; run it again"):
        open_checkpoint(out)
    convert(stored, out, shard_bytes=SHARD)
    assert inodes(out).items() >= finished.items()
    assert_same(out, stored)


def test_a_finished_conversion_writes_nothing_again(stored: Stored, out: Path) -> None:
    convert(stored, out, shard_bytes=SHARD)
    before = inodes(out)
    convert(stored, out, shard_bytes=SHARD)
    assert inodes(out) == before


def test_a_shard_of_another_size_is_written_again(stored: Stored, out: Path) -> None:
    convert(stored, out, shard_bytes=SHARD)
    next(out.glob("*00002*")).write_bytes(b"cut")
    convert(stored, out, shard_bytes=SHARD)
    assert_same(out, stored)


def test_what_a_kill_left_half_written_is_no_obstacle(stored: Stored, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "model-00001-of-00001.safetensors.partial").write_bytes(b"half")
    convert(stored, out)
    assert_same(out, stored)
    assert not list(out.glob("*.partial"))


def test_a_changed_checkpoint_does_not_join_the_old_shards(stored: Stored, out: Path) -> None:
    convert(stored, out)
    before = inodes(out)
    os.utime(stored.path, ns=(1, 1))
    with pytest.raises(OutputError, match="of another checkpoint, of an older state"):
        convert(open_checkpoint(stored.path), out)
    with pytest.raises(OutputError, match="in other shards"):
        convert(stored, out, shard_bytes=SHARD)
    assert inodes(out) == before


@pytest.mark.parametrize("content", ["", "[]", '{"finished": 3}', '{"finished": {}'])
def test_a_broken_ledger_is_an_error(stored: Stored, out: Path, content: str) -> None:
    out.mkdir(parents=True)
    (out / "conversion.json").write_text(content)
    with pytest.raises(OutputError, match=r"conversion\.json is broken"):
        convert(stored, out)


def test_a_folder_with_something_else_is_left_alone(stored: Stored) -> None:
    folder = stored.path.parent
    with pytest.raises(OutputError, match=r"holds a\.pth and is no conversion"):
        convert(stored, folder)
    with pytest.raises(OutputError, match="File exists"):
        convert(stored, stored.path)
    assert names(folder) == {"a.pth"}


def test_two_conversions_do_not_write_into_one_folder(stored: Stored, out: Path) -> None:
    out.mkdir(parents=True)
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OutputError, match="another conversion"):
        convert(stored, out)
    os.close(descriptor)
    convert(stored, out)


def test_the_disk_itself_may_be_full(tmp_path: Path) -> None:
    def fill() -> None:
        with ledger.whole(tmp_path / "a") as file, Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), file.fileno())
            file.write(bytes(2**20))

    with pytest.raises(OSError, match="No space"):
        fill()
    assert names(tmp_path) == set()


def test_a_terminal_sees_how_far_it_is(
    stored: Stored, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    convert(stored, out, shard_bytes=SHARD)
    assert "] 4/4" in capsys.readouterr().err
