"""Input files that are looked at before any library opens them, so that the error is ours."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from edgespark.runtime.errors import InputError, MissingInput

T = TypeVar("T")


def check_path(path: object, what: str) -> None:
    """Refuse what is no path of any file; InputError that says what kind of file was expected."""
    if not isinstance(path, str | Path) or not str(path):
        raise InputError(f"expected the path of a {what}, got {path!r}")


def by_suffix(path: str | Path, known: Mapping[str, T]) -> T:
    """Return what a table of suffixes has for an input file, in any case of their letters.

    InputError that lists the suffixes where it has none, MissingInput where there is no such file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        checked_file(path)
        raise InputError(
            f"{path}: cannot tell what it is by {suffix or 'its name'!r}; "
            f"there are: {', '.join(filter(None, known))}"
        )
    return known[suffix]


def checked_file(path: str | Path) -> Path:
    """Return the path of a regular file that may be read; InputError or MissingInput otherwise."""
    file = Path(path)
    mode = _mode(file)
    if stat.S_ISDIR(mode):
        raise InputError(f"{file}: is a folder; expected a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{file}: is a device or a pipe; expected a file")
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingInput(f"{file}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{str(file)!r}: is no path that can be read: {error}") from error
