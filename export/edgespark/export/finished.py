"""The ledger of a kept folder: which of its files are finished, and of what they are made."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

LEDGER = "finished.json"
TYPES = {"size": int, "changed": int, "of": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A file that is whole: its size in bytes, when it was written (ns), and what it is made of."""

    size: int
    changed: int
    of: str


def read(folder: Path) -> dict[str, Finished]:
    """Return the finished files that are still there as they were written, by name."""
    try:
        told = json.loads((folder / LEDGER).read_bytes())
        entries = {name: Finished(**each) for name, each in told.items() if _sound(name, each)}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return {name: each for name, each in entries.items() if _found(folder / name, each.of) == each}


def written(
    folder: Path, before: Mapping[str, Finished], names: tuple[str, ...], of: str
) -> dict[str, Finished]:
    """Bring these files to the disk, then a ledger with them in it; return what it holds."""
    for name in names:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    made = {name: found for name in names if (found := _found(folder / name, of))}
    entries = {**before, **made}
    draft = folder / f"{LEDGER}.draft"
    with draft.open("w") as file:
        json.dump({name: asdict(each) for name, each in entries.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / LEDGER)
    return entries


def _sound(name: str, entry: object) -> bool:
    fields = isinstance(entry, dict) and {key: type(value) for key, value in entry.items()}
    return Path(name).name == name and fields == TYPES


def _found(path: Path, of: str) -> Finished | None:
    """Look at a file; None where there is none, or a link."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Finished(size=found.st_size, changed=found.st_mtime_ns, of=of)
