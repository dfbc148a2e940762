"""Standard streams that may be closed, full, or left by their reader."""

import io
import os
from contextlib import suppress
from typing import TextIO


def write_whole(stream: TextIO, text: str) -> None:
    """Write the text and flush it; OSError where not all of it could be written."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        stream.write(text)
        stream.flush()
        return
    # PYTHONUNBUFFERED: such a stream drops without a word what a full disk does not take
    left = text.encode(stream.encoding, "backslashreplace")
    while left:
        left = left[raw.write(left) or 0 :]


def write_if_possible(stream: TextIO | None, text: str) -> None:
    """Write the text and flush it; where the stream is closed or full, the text is lost."""
    try:
        if stream is not None:
            write_whole(stream, text)
    except OSError:
        silence(stream)


def silence(stream: TextIO | None) -> None:
    """Lead a broken stream to nowhere: the interpreter flushes it again when it ends."""
    with suppress(OSError):  # no file is behind it
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
