"""What a conversion has finished so far, kept beside its files and bound to what it converts."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from edgespark.export.checkpoints.shards import LEDGER
from edgespark.runtime.errors import OutputError

PARTIAL = ".partial"


@dataclass(kw_only=True, slots=True)
class Ledger:
    """The finished files of a folder, by name, with their sizes in bytes.

    `source` and `shard_bytes` say what they are the shards of.
    """

    folder: Path
    source: str
    shard_bytes: int
    finished: dict[str, int] = field(default_factory=dict)

    def note(self, name: str) -> None:
        """Take a file down as finished."""
        self.finished[name] = (self.folder / name).stat().st_size
        self.save()

    def save(self) -> None:
        """Write it into its folder; the old one stays until the new one is whole."""
        values = {
            "source": self.source,
            "shard_bytes": self.shard_bytes,
            "finished": self.finished,
        }
        with whole(self.folder / LEDGER) as file:
            file.write(json.dumps(values, indent=1).encode())

    def has(self, name: str) -> bool:
        """Tell whether that file is finished, and still there in its full size."""
        path = self.folder / name
        return path.is_file() and path.stat().st_size == self.finished.get(name)


def ledger(folder: Path, source: str, shard_bytes: int) -> Ledger:
    """Read the ledger of a folder, or start one; OutputError where the folder holds anything else.

    Nothing is written yet. What a killed run left half written is no obstacle.
    """
    path = folder / LEDGER
    if path.is_file():
        values = _values(path)
        if (values.get("source"), values.get("shard_bytes")) != (source, shard_bytes):
            raise OutputError(
                f"{folder} holds the conversion of another checkpoint, of an older state of this "
                "one, or in other shards; give another folder or delete it"
            )
        finished = dict(values["finished"])
        return Ledger(folder=folder, source=source, shard_bytes=shard_bytes, finished=finished)
    if foreign := sorted(each.name for each in folder.iterdir() if each.suffix != PARTIAL):
        raise OutputError(f"{folder} holds {foreign[0]} and is no conversion; give a new folder")
    return Ledger(folder=folder, source=source, shard_bytes=shard_bytes)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other conversions out of the folder; OutputError where one is at work in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OutputError(f"another conversion is writing into {folder}; let it finish") from None
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; it takes its name when it is whole and on the disk, else it is gone."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
        dict(values["finished"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise OutputError(f"{path} is broken; delete the folder, or give another one") from error
    return dict(values)
