"""Input files that are looked at before any library opens them, so that the error is ours."""

import stat
from pathlib import Path

from edgespark.runtime.errors import InputError, MissingInput


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
