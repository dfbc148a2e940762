"""Checkpoints of a few tensors, whole and broken, as they may lie on disk."""

import io
import json
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HEADS = 3  # ranks of the model-parallel case


class Bomb:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]


def tensors(prefix: str = "llma.") -> dict[str, Tensor]:
    """Return tensors of all dtypes: a row, a scalar, a matrix seen from its side."""
    return {
        f"{prefix}norm.weight": torch.arange(5, dtype=torch.float32),
        f"{prefix}clip.logit_scale": torch.tensor(3.5, dtype=torch.bfloat16),
        f"{prefix}layers.0.attention.wq.weight": torch.arange(12).reshape(3, 4).half().t(),
        f"{prefix}layers.1.attention.wq.weight": torch.zeros(4, 3, dtype=torch.float16),
    }


def saved(path: Path, value: object) -> Path:
    """Write a file by torch.save."""
    torch.save(value, path)
    return path


def parallel(folder: Path, whole: Mapping[str, Tensor], axes: Mapping[str, int]) -> Path:
    """Cut a checkpoint into the ranks of model-parallel training."""
    for rank in range(HEADS):
        own = {
            name: each.chunk(HEADS, axes[name])[rank].clone() if name in axes else each
            for name, each in whole.items()
        }
        torch.save(own, folder / f"consolidated.{rank:02d}.pth")
    return folder


def code(folder: Path) -> Path:
    return saved(folder / "a.pth", {"llma.a": torch.ones(2), "b": Bomb(folder / "ran")})


def settings(folder: Path) -> Path:
    return saved(folder / "a.pth", {"model": tensors(), "args": Namespace(lr=1)})


def bare_pickle(folder: Path) -> Path:
    path = folder / "a.pth"
    path.write_bytes(pickle.dumps({"a": Bomb(folder / "ran")}))
    return path


def old_layout(folder: Path) -> Path:
    torch.save(tensors(), folder / "a.pth", _use_new_zipfile_serialization=False)
    return folder / "a.pth"


def cut_pickle(folder: Path) -> Path:
    path = saved(folder / "a.pth", tensors())
    path.write_bytes(path.read_bytes()[:-200])
    return path


def cut_safetensors(folder: Path) -> Path:
    path = folder / "a.safetensors"
    save_file({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-8])
    return path


def copied(folder: Path, change: Callable[[zipfile.ZipFile, str], bytes], how: int) -> Path:
    """Write the archive anew, with other contents or compressed."""
    whole = zipfile.ZipFile(io.BytesIO(saved(folder / "b.tmp", tensors()).read_bytes()))
    with zipfile.ZipFile(folder / "a.pth", "w", how) as archive:
        for name in whole.namelist():
            archive.writestr(name, change(whole, name))
    return folder / "a.pth"


def compressed(folder: Path) -> Path:
    return copied(folder, zipfile.ZipFile.read, zipfile.ZIP_DEFLATED)


def broken_pickle(folder: Path) -> Path:
    def change(archive: zipfile.ZipFile, name: str) -> bytes:
        content = archive.read(name)
        return content[: len(content) // 2] if name.endswith("data.pkl") else content

    return copied(folder, change, zipfile.ZIP_STORED)


def outgrown(folder: Path) -> Path:
    """Let a tensor of 5 numbers say that it has 9 times 2 ** 24."""

    def change(archive: zipfile.ZipFile, name: str) -> bytes:
        told, more = b"K\x05\x85q", b"J\x00\x00\x00\x09\x85q"
        content = archive.read(name)
        return content.replace(told, more) if name.endswith("data.pkl") else content

    return copied(folder, change, zipfile.ZIP_STORED)


def other_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.pth", "w") as archive:
        archive.writestr("letter.txt", "hello")
    return folder / "a.pth"


def script(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/constants.pkl", b"")
    return folder / "a.pth"


def text(folder: Path, content: str = "no weights at all", name: str = "a.pth") -> Path:
    (folder / name).write_text(content)
    return folder / name


def twice(folder: Path) -> Path:
    saved(folder / "a.pth", {"a": torch.ones(2), "b": torch.ones(2)})
    saved(folder / "b.pth", {"b": torch.ones(2)})
    return folder


def half_there(folder: Path) -> Path:
    save_file({"a": torch.ones(2)}, folder / "a.safetensors")
    text(folder, json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}, indent=1))
    return (folder / "a.pth").rename(folder / "model.safetensors.index.json").parent


def broken_index(folder: Path) -> Path:
    save_file({"a": torch.ones(2)}, folder / "a.safetensors")
    text(folder, "[1, 2", "model.safetensors.index.json")
    return folder


def lone_rank(folder: Path) -> Path:
    for rank in (0, 2):
        saved(folder / f"consolidated.{rank:02d}-of-03.pth", tensors())
    return folder


def uneven_ranks(folder: Path) -> Path:
    for rank in (0, 1):
        saved(folder / f"consolidated.{rank:02d}.pth", {"norm.weight": torch.ones(2 + rank)})
    return folder


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "code": (code, "is code and no tensor; nothing of it was run"),
    "settings": (settings, "argparse.Namespace, which is code"),
    "bare pickle": (bare_pickle, "a bare pickle"),
    "old layout": (old_layout, "before 1.6"),
    "cut pickle": (cut_pickle, "cut off"),
    "cut safetensors": (cut_safetensors, "no whole safetensors file"),
    "compressed": (compressed, "compressed"),
    "broken pickle": (broken_pickle, "tensors alone"),
    "outgrown": (outgrown, "tensors alone"),
    "other zip": (other_zip, "not by torch.save"),
    "script": (script, "TorchScript"),
    "empty": (lambda folder: text(folder, ""), "is empty"),
    "text": (text, "begins with b'no weights at"),
    "pointer": (lambda f: text(f, "version https://git-lfs.github.com/spec/v1"), "git lfs pull"),
    "suffix": (lambda folder: text(folder, "", "a.onnx"), "expected a .safetensors, .pth"),
    "list": (lambda f: saved(f / "a.pth", [torch.ones(2)]), "holds a list"),
    "number": (lambda f: saved(f / "a.pth", {"a": 3, "b": "c"}), "'a' is a int; 'b' is a str"),
    "whole numbers": (lambda f: saved(f / "a.pth", {"a": torch.arange(2)}), "got torch.int64: a"),
    "no storage": (
        lambda f: saved(f / "a.pth", {"a": torch.ones(2, device="meta")}),
        "without plain numbers",
    ),
    "sparse": (
        lambda f: saved(f / "a.pth", {"a": torch.eye(2).to_sparse()}),
        "without plain numbers",
    ),
    "twice": (twice, "stand in a.pth too: b"),
    "no files": (lambda folder: folder, "no weights"),
    "nothing": (lambda folder: folder / "none", "no such file or folder"),
    "half there": (half_there, "absent files: ['b.safetensors']"),
    "broken index": (broken_index, "no weight_map"),
    "lone rank": (lone_rank, "rank 01 of 3"),
    "uneven ranks": (uneven_ranks, "differs from file to file"),
}
"""By name: what makes the bad checkpoint, and what the error says of it."""
