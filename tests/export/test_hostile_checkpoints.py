"""Checkpoints that lie, change or contradict themselves: told, and never taken for weights."""

import errno
import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import save_file

from edgespark.export.checkpoints.convert import convert
from edgespark.export.checkpoints.steady import _advise, present, state
from edgespark.export.checkpoints.stored import open_checkpoint
from edgespark.export.checkpoints.vocabulary import tokenizer_beside
from edgespark.export.exporter import export
from edgespark.export.made_of import made_of
from edgespark.export.precisions import expected_bytes, reference_bytes
from edgespark.runtime.errors import (
    EdgesparkWarning,
    InputError,
    MissingInput,
    OutputError,
    UsageError,
)
from edgespark.runtime.manifest import Precision
from tests.export.checkpoint_cases import saved, tensors
from tests.export.onellm_on_disk import blueprint
from tests.export.small import byte_tokenizer

ONE = {"a": torch.ones(5), "b": torch.ones(1000)}
PROGRAM = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + (10**10).to_bytes(5, "little") + b"\x85R."
ENCRYPTED = {b"PK\1\2": 8, b"PK\3\4": 6}  # where the flags of an entry stand


def rewritten(folder: Path, change: Callable[[bytes], bytes], *more: tuple[str, bytes]) -> Path:
    """Write an archive of torch's anew, with another pickle and more entries."""
    whole = zipfile.ZipFile(io.BytesIO(saved(folder / "b.tmp", ONE).read_bytes()))
    with warnings.catch_warnings(), zipfile.ZipFile(folder / "a.pth", "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)
        for name, content in more:
            archive.writestr(name, content)
    return folder / "a.pth"


def encrypted(folder: Path) -> Path:
    path = rewritten(folder, bytes)
    content = bytearray(path.read_bytes())
    for mark, place in ENCRYPTED.items():
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    return path


def grown(content: bytes) -> bytes:
    """Let the tensor of 5 numbers, and its record, have 32: those behind them follow."""
    return content.replace(b"K\x05t", b"K\x20t").replace(b"K\x05\x85", b"K\x20\x85")


def safetensors(folder: Path, header: str, content: bytes) -> Path:
    path = folder / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + content)
    return path


def entry(shape: str, end: int) -> str:
    return f'"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, {end}]}}'


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.pth")
    return folder / "a.pth"


def link(folder: Path, target: str) -> Path:
    (folder / "a.pth").symlink_to(target)
    return folder / "a.pth"


def within(path: Path) -> Path:
    """Give the folder of a bad file, with a good one beside it."""
    saved(path.parent / "z.pth", ONE)
    return path.parent


def both_formats(folder: Path) -> Path:
    values = {f"layers.{n}.w": torch.ones(1) for n in range(100)}
    save_file(values, folder / "a.safetensors")
    return saved(folder / "a.pth", values).parent


def integers(folder: Path) -> Path:
    values = {f"layers.{n}.w": torch.ones(1, dtype=torch.int8) for n in range(100)}
    return saved(folder / "a.pth", {**values, "b": torch.ones(1, dtype=torch.float64)})


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a record twice": (
        lambda f: rewritten(f, bytes, ("b/data/0", b"\7" * 20)),
        "two entries are called 'data/0'",
    ),
    "a pickle twice": (
        lambda f: rewritten(f, bytes, ("c/data.pkl", b".")),
        "two entries are called 'data.pkl'",
    ),
    "encrypted": (encrypted, "encrypted"),
    "into the next record": (lambda f: rewritten(f, grown), "other sizes than they have"),
    "memory": (lambda f: rewritten(f, lambda _: PROGRAM), "its pickle calls 'builtins bytearray'"),
    "negated": (
        lambda f: saved(f / "a.pth", {"a": torch._neg_view(torch.ones(2))}),
        "'a' is a tensor without plain numbers",
    ),
    "a name twice": (
        lambda f: safetensors(f, f"{{{entry('[4]', 16)}, {entry('[2]', 8)}}}", bytes(8)),
        "names 'a' twice",
    ),
    "2 ** 63 rows": (
        lambda f: safetensors(f, f"{{{entry(f'[0, {2**63}]', 0)}}}", b""),
        "no whole safetensors file",
    ),
    "pipe": (pipe, "a.pth: neither a file nor a folder"),
    "pipe among files": (lambda f: within(pipe(f)), "a.pth: neither a file nor a folder"),
    "device": (lambda f: link(f, "/dev/zero"), "neither a file nor a folder"),
    "link to nothing": (lambda f: link(f, "none"), "a link that leads nowhere"),
    "link among files": (lambda f: within(link(f, "none")), "a link that leads nowhere"),
    "link to itself": (lambda f: link(f, "a.pth"), "a link that leads nowhere"),
    "zero byte": (lambda f: f / "a\0.pth", "no such file"),
    "shard absent": (
        lambda f: saved(f / "m-00002-of-00003.bin", ONE).parent,
        "not there: m-00001-of-00003.bin, m-00003-of-00003.bin",
    ),
    "of countless shards": (
        lambda f: saved(f / "m-1-of-999999999.bin", ONE).parent,
        "not there: m-000000001-of-999999999.bin, m-000000002",
    ),
    "one shard": (lambda f: saved(f / "m-00002-of-00003.bin", ONE), "one of 3 shards; give the"),
    "one rank": (lambda f: saved(f / "consolidated.00-of-02.pth", ONE).parent, "rank 01 of 2"),
    "both formats": (both_formats, "stand in a.pth too: layers.{0-99}.w; keep one"),
    "integers": (integers, "got torch.int8: layers.{0-99}.w; torch.float64: b"),
}
"""By name: what makes the checkpoint, and what the error says of it."""


@pytest.mark.parametrize("name", BAD)
def test_what_no_trainer_writes_is_told(name: str, tmp_path: Path) -> None:
    make, told = BAD[name]
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_a_nested_tensor_is_told(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such tensors are a prototype
        value = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)])
        path = saved(tmp_path / "a.pth", {"a": value})
    with pytest.raises(InputError, match="'a' is a tensor without plain numbers"):
        open_checkpoint(path)


def test_tensors_that_share_or_repeat_numbers_are_taken(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    values = {"a": table, "b": table.t(), "c": torch.ones(1).expand(2, 3), "d": torch.ones(0, 3)}
    stored = open_checkpoint(saved(tmp_path / "a.pth", values))
    assert all(torch.equal(stored.tensor(name), each) for name, each in values.items())


def test_ranks_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    for rank in (0, 1):
        value = {"norm.weight": torch.full((3,), float(rank)), "wq.weight": torch.ones(2, 2)}
        saved(tmp_path / f"consolidated.{rank:02d}.pth", value)
    with pytest.warns(EdgesparkWarning, match=r"00\.pth are taken: norm\.weight$"):
        stored = open_checkpoint(tmp_path)
    assert stored.shapes == {"norm.weight": (3,), "wq.weight": (4, 2)}


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: os.truncate(path, 100),
    "written": lambda path: os.utime(path, ns=(1, 1)),
    "removed": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_told(change: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", tensors())
    stored = open_checkpoint(path)
    stored.tensor("norm.weight")
    CHANGES[change](path)
    with pytest.raises(InputError, match=r"a\.pth: (changed|gone) while it was read"):
        stored.tensor("norm.weight")


def test_pages_that_are_gone_are_an_error_and_no_signal(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"a": torch.ones(100_000)})
    stored = open_checkpoint(path)
    tensor = stored.tensor("a")
    if _advise(tensor.data_ptr() // 4096 * 4096, 4096) == errno.EINVAL:
        pytest.skip("this kernel cannot ask for pages")
    os.truncate(path, 100)
    with pytest.raises(InputError, match="the numbers of a cannot be read: its file was cut off"):
        present("a", tensor)


def test_a_conversion_of_a_file_that_changes_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.pth", tensors())
    stored = open_checkpoint(path)
    looks = [state(path)] * len(stored.shapes)
    later = replace(looks[0], changed=1)
    monkeypatch.setattr(
        "edgespark.export.checkpoints.steady.state", lambda _: looks.pop() if looks else later
    )
    with pytest.raises(InputError, match="changed while it was read"):
        convert(stored, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "conversion.json").read_text())["finished"] == {}


def test_two_tokenizers_that_differ_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer.save(str(tmp_path / "tokenizer.model"))
    readers = {"tokenizer.model": Path.read_bytes, "tokenizer.json": Path.read_bytes}
    monkeypatch.setattr("edgespark.export.checkpoints.vocabulary.READERS", readers)
    size = tokenizer.get_vocab_size()
    tokenizer_beside(tmp_path, size)
    tokenizer.add_tokens(["<other>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.warns(EdgesparkWarning, match=r"know other tokens; tokenizer\.model is taken"):
        assert tokenizer_beside(tmp_path, size).get_vocab_size() == size


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("none"), Path.mkdir])
def test_a_tokenizer_that_is_no_file_is_told(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "tokenizer.model")
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"tokenizer\.model: no file"):
        tokenizer_beside(tmp_path, 10**6)
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingInput):
        tokenizer_beside(tmp_path / "none", 10**6)


def test_nan_in_a_router_is_an_input_error(tmp_path: Path) -> None:
    bad = {"llma.routers.imu.fc1.bias": torch.full((256,), float("nan")).half()}
    with pytest.raises(InputError, match=r"comes of routers\.imu\.fc1\.weight, routers\.imu\.fc1"):
        blueprint(tmp_path, ("imu",), bad)


def test_parts_that_other_modalities_change_are_not_taken_over(tmp_path: Path) -> None:
    one, two = (
        {stage.name: made_of(stage) for stage in blueprint(tmp_path, modalities).stages}
        for modalities in (("imu",), ("imu", "image"))
    )
    unlike = {name for name, each in one.items() if two[name] != each}
    assert unlike == {"trunk", "experts"}


def test_a_disk_that_is_too_small_is_told_before_anything_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = blueprint(tmp_path / "c", ("imu",))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    with pytest.raises(OutputError, match=r"needs about \d\.\d\d MB more, 2\.00 MB are free"):
        export(made, tmp_path / "b", replace=False)
    assert {each.name for each in tmp_path.iterdir()} == {"c"}


def test_the_room_that_is_asked_for_is_about_what_is_taken(tmp_path: Path) -> None:
    stages = blueprint(tmp_path, ("imu",)).stages
    asked = sum(expected_bytes(each, "fp16") + reference_bytes(each) for each in stages)
    assert 3_000_000 < asked < 3_600_000  # the bundle has 3,190,480


@pytest.mark.parametrize("names", [("fp99",), ("int4", "int4")])
def test_a_precision_that_is_none_is_refused_by_the_function_too(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    made = blueprint(tmp_path / "c", ("imu",))
    with pytest.raises(UsageError, match="precision"):
        export(made, tmp_path / "b", replace=False, precisions=cast("tuple[Precision, ...]", names))
