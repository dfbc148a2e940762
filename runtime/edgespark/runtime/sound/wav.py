"""WAV files: plain samples are read without a library, what is coded is left to soundfile."""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.sound.decoded import open_decoded
from edgespark.runtime.sound.recording import Doubles, Recording, scaled

EXTENSIBLE = 0xFFFE
SAMPLES = {
    (1, 8): "u1",
    (1, 16): "<i2",
    (1, 24): "<i4",  # with a byte of zeros in front
    (1, 32): "<i4",
    (3, 32): "<f4",
    (3, 64): "<f8",
}
"""The code of a format, 1 whole and 3 real numbers, and the bits of a sample -> numpy's type."""
CODED = (b"RIFX", b"RF64", b"BW64")
"""What WAV files of other byte orders and lengths begin with."""
ENDLESS = (0xFFFFFFFF, 0x7FFFF000)
"""Lengths that FFmpeg and SoX write where they cannot know it: up to the end of the file."""
MOST_CHUNKS = 1024
HEAD = 8
"""Bytes in front of what a chunk holds: its name, and its size."""
PADDED = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the samples of a WAV file lie, and as what; `dtype` is None where they are coded."""

    dtype: str | None
    bits: int
    channels: int
    rate: int
    first: int
    length: int

    @property
    def step(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8


@contextmanager
def open_wav(path: Path) -> Iterator[Recording]:
    """Open a WAV file: PCM of 8, 16, 24 or 32 bits, or IEEE floats, in any number of channels.

    Raises InputError for what is none, or ends before the samples that its header tells of;
    MissingExtra where the samples are coded otherwise and soundfile is not installed; warns
    (EdgesparkWarning) where more follows than the header tells of, as it cannot beyond 4 GiB; of a
    header that tells of no samples, all that follows are such. Format:
    Microsoft, Multimedia Programming Interface and Data Specifications 1.0, and its
    WAVEFORMATEXTENSIBLE.
    """
    with path.open("rb") as file:
        found = _layout(path, file)
        if found is not None:
            yield _recording(path, file, found)
            return
    with open_decoded(path) as recording:
        yield recording


def _recording(path: Path, file: BinaryIO, found: Layout) -> Recording:
    def read(start: int, stop: int) -> Doubles:
        file.seek(found.first + start * found.step)
        data = file.read((stop - start) * found.step)
        if len(data) < (stop - start) * found.step:  # somebody has cut it off meanwhile
            raise InputError(f"{path}: ends early")
        return _samples(data, found)

    return Recording(
        name=str(path), rate=found.rate, channels=found.channels, length=found.length, read=read
    )


def _samples(data: bytes, found: Layout) -> Doubles:
    if found.bits == PADDED:
        triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = np.pad(triples, ((0, 0), (1, 0))).tobytes()
    return scaled(np.frombuffer(data, found.dtype)).reshape(-1, found.channels)


def _layout(path: Path, file: BinaryIO) -> Layout | None:
    """Read the header; None where soundfile has to read the file."""
    head = file.read(12)
    if head[:4] in CODED:
        return None
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise InputError(f"{path}: is no WAV file")
    described = b""
    for name, first, size in _chunks(file):
        if name == b"fmt ":
            described = file.read(min(size, 40))
        if name == b"data":
            end = os.fstat(file.fileno()).st_size
            found = _described(path, described, first, max(end - first, 0))
            return found and _cut(path, found, size, _stray(file, first + size, end))
    raise InputError(f"{path}: ends early, or is no WAV file: no samples (data) follow its header")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, first byte and size; the file stands at that byte."""
    at = 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(HEAD)
        if len(head) < HEAD:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, at + HEAD, size
        at += HEAD + size + size % 2


def _stray(file: BinaryIO, at: int, end: int) -> int:
    """Return how many bytes lie between a place and the end that are no chunks."""
    for start in (at, at + at % 2):  # samples of odd length without the byte that fills them up
        file.seek(start)
        name, size = struct.unpack("<4sI", file.read(HEAD).ljust(HEAD, b"\0"))
        named = name.isascii() and name.decode().isprintable()
        if start >= end or (named and start + HEAD + size <= end):
            return 0
    return end - at


def _cut(path: Path, found: Layout, size: int, stray: int) -> Layout:
    """Return the layout with as many samples as the header tells of; InputError if there are fewer.

    `size` is their length in bytes, `stray` what stands behind them.
    """
    told = size // found.step
    if size in ENDLESS:
        return found
    if told > found.length:
        raise InputError(
            f"{path}: ends early: its header tells of {told} samples of each channel, "
            f"{found.length} are there"
        )
    if stray >= max(found.step, HEAD):
        done = "the rest is left out" if told else "all that follows is taken for samples"
        _warn(
            f"{path}: its header tells of {told} samples of each channel, yet {stray} bytes stand "
            f"behind them, so that it seems to be wrong: {done}"
        )
    return replace(found, length=told or stray // found.step)


def _described(path: Path, described: bytes, first: int, there: int) -> Layout | None:
    """Return the layout of all bytes that are there; None where soundfile has to read them."""
    if len(described) < 16:  # noqa: PLR2004 of the shortest description
        raise InputError(f"{path}: its samples are not described (fmt) before they begin")
    code, channels, rate, _, step, bits = struct.unpack("<HHIIHH", described[:16])
    if code == EXTENSIBLE:
        code = int.from_bytes(described[24:26], "little")
    if (code, bits) not in SAMPLES:
        return None
    if step != channels * bits // 8 or not channels:
        raise InputError(f"{path}: tells of {channels} channels of {bits} bits in {step} bytes")
    return Layout(
        dtype=SAMPLES[code, bits],
        bits=bits,
        channels=channels,
        rate=rate,
        first=first,
        length=there // step,
    )


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
