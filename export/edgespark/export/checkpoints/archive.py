"""The zip archive that `torch.save` writes: what must hold before torch maps it.

torch itself checks little of this where it maps a file: it takes a record's place from the archive,
and its size from the pickle, whatever the two say of each other.
"""

import pickletools
import zipfile
from collections import Counter
from pathlib import Path

from edgespark.runtime.errors import InputError

SAVE_AGAIN = "torch.save the tensors alone, as a dict of tensors by name"
PROGRAM, SCRIPT, NUMBERS = "data.pkl", "constants.pkl", "data/"
LONGEST = 2**28  # bytes of a pickle that builds nothing but views of records; OneLLM's has 2**17
ENCRYPTED = 1  # the lowest of an entry's flags
ALLOCATING = ("builtins bytearray", "__builtin__ bytearray", "_codecs encode")
"""What torch's restricted reader calls, though it makes no tensor, and as large as it is told."""


def check_archive(path: Path) -> Counter[int]:
    """Return how many records of tensors there are of each size in bytes.

    InputError where the archive is cut off, compressed or encrypted, has two entries of one name,
    is a program, or is not by torch.save. OSError where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _by_name(path, archive.infolist())
            _check_pickle(path, archive, entries[PROGRAM])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        text = f"{path}: cut off or broken: no table of its contents at its end; copy it anew"
        raise InputError(text) from error
    return Counter(each.file_size for name, each in entries.items() if name.startswith(NUMBERS))


def _by_name(path: Path, listed: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Refuse what torch would map all the same, as numbers of no meaning, or run."""
    entries = {each.filename.partition("/")[2]: each for each in listed}
    if SCRIPT in entries:
        raise InputError(f"{path}: a TorchScript program, not a checkpoint; {SAVE_AGAIN}")
    if PROGRAM not in entries:
        raise InputError(f"{path}: a zip archive, but not by torch.save; {SAVE_AGAIN}")
    if any(each.compress_type != zipfile.ZIP_STORED for each in listed):
        raise InputError(f"{path}: compressed, so that it cannot be read in place; {SAVE_AGAIN}")
    if any(each.flag_bits & ENCRYPTED for each in listed):
        raise InputError(f"{path}: encrypted, so that it cannot be read in place; {SAVE_AGAIN}")
    counts = Counter(each.filename.partition("/")[2] for each in listed)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise InputError(f"{path}: two entries are called {twice[0]!r}; {SAVE_AGAIN}")
    return entries


def _check_pickle(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuse a pickle that takes memory by itself; what is broken is torch's to tell."""
    if entry.file_size > LONGEST:
        raise InputError(
            f"{path}: its pickle has {entry.file_size:,} bytes, more than tensors need; "
            f"{SAVE_AGAIN}"
        )
    try:
        steps = pickletools.genops(archive.read(entry))
        called = [step[1] for step in steps if step[0].name == "GLOBAL"]
    except (ValueError, IndexError):  # broken; not InputError
        return
    if wrong := [name for name in called if name in ALLOCATING]:
        raise InputError(f"{path}: its pickle calls {wrong[0]!r}, no tensor; {SAVE_AGAIN}")
