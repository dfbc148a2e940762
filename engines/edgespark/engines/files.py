"""Files that are written once, and never left half written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not there yet; nothing is left of it where the block fails.

    FileExistsError where a file is there, OSError where it cannot be written.
    """
    with path.open("xb") as file:
        try:
            yield file
            file.flush()  # the disk may be full now, where it was not before
        except BaseException:
            path.unlink()
            raise
