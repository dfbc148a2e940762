"""A checkpoint as safetensors shards, made tensor by tensor; what is finished stays finished."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgespark.export.checkpoints.ledger import Ledger, ledger, locked, whole
from edgespark.export.checkpoints.safe import Planned, header, write_tensors
from edgespark.export.checkpoints.stored import Stored
from edgespark.runtime.errors import EdgesparkError, OutputError
from edgespark.runtime.progress import track

SHARD_BYTES = 2 * 2**30
INDEX = "model.safetensors.index.json"
SPARE = 2**20  # bytes for the index and the ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One file to be written."""

    name: str
    tensors: tuple[Planned, ...]

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        return len(header(self.tensors)) + sum(each.bytes for each in self.tensors)


def convert(stored: Stored, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the checkpoint into a folder as .safetensors shards with an index, dtypes unchanged.

    Hardly any memory is taken beside the mapped checkpoint. A shard takes its name when it is
    whole; run again after an interruption, those that are there are not written again. OutputError
    before anything is written where the disk has too little room, or the folder holds something
    else; and where the disk fills up on the way, with what to do.
    """
    shards = plan(stored, shard_bytes)
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            done = ledger(folder, stored.fingerprint, shard_bytes)
            left = [each for each in shards if not done.has(each.name)]
            _check_room(folder, sum(each.bytes for each in left))
            done.save()
            total = sum(len(each.tensors) for each in left)
            with track(_written(stored, left, done), "converting", total) as tensors:
                for _ in tensors:
                    pass
            _write_index(folder, shards)


def plan(stored: Stored, shard_bytes: int) -> list[Shard]:
    """Divide the tensors, in the checkpoint's order, into shards of at most so many bytes.

    A larger tensor has a shard to itself. ValueError where `shard_bytes` is not positive.
    """
    if shard_bytes < 1:
        raise ValueError(f"expected shards of at least one byte, got {shard_bytes}")
    groups: list[list[Planned]] = [[]]
    size = 0
    for name, shape in stored.shapes.items():
        each = Planned(name=name, shape=shape, dtype=stored.dtypes[name])
        if groups[-1] and size + each.bytes > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(each)
        size += each.bytes
    return [
        Shard(name=f"model-{n:05d}-of-{len(groups):05d}.safetensors", tensors=tuple(group))
        for n, group in enumerate(groups, 1)
    ]


def _written(stored: Stored, shards: list[Shard], done: Ledger) -> Iterator[int]:
    """Write the shards; yield the size of each tensor as it is written."""
    for shard in shards:
        with whole(done.folder / shard.name) as file:
            file.write(header(shard.tensors))
            yield from write_tensors(file, (stored.tensor(each.name) for each in shard.tensors))
        stored.check()  # else the shard may be of two states of the checkpoint
        done.note(shard.name)


def _write_index(folder: Path, shards: list[Shard]) -> None:
    size = sum(tensor.bytes for shard in shards for tensor in shard.tensors)
    weight_map = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}, indent=1)
    with whole(folder / INDEX) as file:
        file.write(text.encode())


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed and needed + SPARE > free:
        raise OutputError(
            f"{folder}: needs {needed + SPARE:,} bytes, and {free:,} are free; make room, or give "
            "a folder on another disk"
        )


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into an OutputError that says how to go on."""
    try:
        yield
    except EdgesparkError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{folder}: {reason}; shards that are whole stay: mend that and run the same again"
        raise OutputError(text) from error
