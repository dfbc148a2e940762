"""Sound files that need a decoder, through soundfile (libsndfile)."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.sound.recording import Doubles, Recording

UNKNOWN = 1 << 62
"""Samples: of a FLAC file that was streamed libsndfile says 2^63 - 1, and cannot read its end."""
CUT = re.compile(r"\(should be \d+\)|ended unexpectedly|lacks an end-of-stream bit")
"""What libsndfile notes in its log where a file has no end, or less than its header tells of."""
LOST = "File does not exist"
"""How it begins to tell, of MP3, that no header was found in a file that is there."""


@contextmanager
def open_decoded(path: Path) -> Iterator[Recording]:
    """Open a file of any kind that libsndfile knows, and close it afterwards.

    Raises InputError for what is none, or is broken where it is read; warns (EdgesparkWarning)
    where it seems to be cut off; MissingExtra where soundfile is not installed.
    """
    soundfile = _soundfile()
    name = os.fsencode(path) if os.name == "posix" else path  # which may be no UTF-8
    try:
        with soundfile.SoundFile(name) as file:
            if CUT.search(file.extra_info):
                _warn(f"{path}: seems to be cut off: not all of it is there")
            yield _recording(path, file)
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", None) or error)
        reason = "it is broken, or none" if reason.startswith(LOST) else reason
        raise InputError(f"{path}: cannot be read as sound: {reason}") from error


def _recording(path: Path, file: Any) -> Recording:  # noqa: ANN401 soundfile's
    def read(start: int, stop: int) -> Doubles:
        file.seek(start)
        samples: Doubles = file.read(stop - start, dtype="float64", always_2d=True)
        if len(samples) < stop - start:
            raise InputError(
                f"{path}: ends early, {(start + len(samples)) / rate:g} s from its start"
            )
        return samples

    rate = file.samplerate
    if file.frames >= UNKNOWN:
        raise InputError(
            f"{path}: does not tell how long it is; write it again as a whole, or as WAV"
        )
    return Recording(
        name=str(path), rate=rate, channels=file.channels, length=file.frames, read=read
    )


def _soundfile() -> Any:  # noqa: ANN401 imported late
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:  # OSError: libsndfile is not there
        raise MissingExtra(
            f"this sound is read with soundfile, which cannot be imported ({error}): "
            "pip install 'edgespark[media]'"
        ) from error


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
