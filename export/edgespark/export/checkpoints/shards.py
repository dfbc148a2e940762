"""The files of a checkpoint: which they are, and that none is absent."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from edgespark.export.checkpoints.parallel import RANK, check_ranks
from edgespark.runtime.errors import InputError, MissingInput

LEDGER = "conversion.json"
INDEX = "*.index.json"
SHARD = re.compile(r"(.*?)(\d{1,9})-of-(\d{1,9})\.(\w+)")
"""A shard's name, as in `model-00001-of-00003.safetensors`: they count from one."""
TOLD = 8  # absent shards


def checkpoint_files(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the file, or the folder's files that end in one of these, in order.

    MissingInput where there is none, or one of a set of shards is absent; InputError where one is
    no file. OSError where the folder cannot be read.
    """
    known = ", ".join(suffixes)
    if path.is_dir():
        paths = sorted(each for each in path.iterdir() if each.suffix in suffixes)
        if not paths:
            raise MissingInput(f"checkpoint {path}: no weights, that is no {known} file")
        for each in paths:
            _check_file(each)
        _check_whole(path, paths)
        return paths
    _check_file(path)
    if path.suffix not in suffixes:
        raise InputError(f"checkpoint {path}: expected a {known} file, or a folder of them")
    _check_alone(path)
    return [path]


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise MissingInput(f"checkpoint {path}: a link that leads nowhere")
    if "\0" in str(path) or not os.path.lexists(path):
        raise MissingInput(f"checkpoint {path}: no such file or folder")
    if not path.is_file():
        raise InputError(f"checkpoint {path}: neither a file nor a folder of files")


def _check_alone(path: Path) -> None:
    shard = SHARD.fullmatch(path.name)
    if shard and int(shard[3]) > 1:
        raise InputError(
            f"checkpoint {path}: one of {int(shard[3])} shards; give the folder that holds them all"
        )


def _check_whole(folder: Path, paths: list[Path]) -> None:
    """Refuse a folder that lacks shards: those that an index or the others' names tell of."""
    indices = sorted(folder.glob(INDEX))
    if (folder / LEDGER).is_file() and not indices:
        raise InputError(f"checkpoint {folder}: its conversion was interrupted; run it again")
    named = {name for index in indices for name in _indexed(index)}
    if absent := sorted(named - {each.name for each in paths}):
        raise MissingInput(f"checkpoint {folder}: its index names absent files: {absent}")
    if all(RANK.fullmatch(each.name) for each in paths):
        check_ranks(paths)
    elif absent := list(islice(_absent([each.name for each in paths]), TOLD)):
        raise MissingInput(f"checkpoint {folder}: shards that are not there: {', '.join(absent)}")


def _absent(names: list[str]) -> Iterator[str]:
    """Name the shards that the others tell of by their count."""
    shards = [found for name in names if (found := SHARD.fullmatch(name))]
    for before, total, suffix in dict.fromkeys((each[1], each[3], each[4]) for each in shards):
        for number in range(1, int(total) + 1):
            name = f"{before}{number:0{len(total)}d}-of-{total}.{suffix}"
            if name not in names:
                yield name


def _indexed(index: Path) -> Iterator[str]:
    try:
        files = json.loads(index.read_bytes())["weight_map"].values()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{index}: no index of tensors, that is no weight_map") from error
    yield from map(str, files)
