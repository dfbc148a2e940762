"""Sound files for the tests, good and bad, built byte by byte."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.sensory import Fbank

RATE = 16000
RECORD = Fbank(rate=RATE, mels=20, frames=8, mean=-4.0, std=4.5)
"""Its frames take 400 + 7 * 160 samples, 95 ms."""
HEARD = 1520


def noise(samples: int = HEARD, channels: int = 1, seed: int = 5) -> NDArray[np.float64]:
    """Return [samples, channels] well below full scale."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, channels))


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    told = len(content) if size is None else size
    return name + struct.pack("<I", told) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def described(  # noqa: PLR0913 the fields of the format
    code: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    step: int | None = None,
    more: bytes = b"",
) -> bytes:
    step = channels * bits // 8 if step is None else step
    numbers = struct.pack("<HHIIHH", code, channels, rate, rate * step % 2**32, step, bits)
    return chunk(b"fmt ", numbers + more)


def whole(samples: NDArray[np.float64], bits: int) -> bytes:
    """Return PCM as WAV files hold it; 8 bits have their silence at 128."""
    numbers = np.round(samples * 2 ** (bits - 1)).astype("<i4")
    if bits == 8:
        return bytes((numbers + 128).astype("u1").tobytes())
    return bytes(numbers.reshape(-1, 1).view("u1")[:, : bits // 8].tobytes())


def wav(samples: NDArray[np.float64], bits: int = 16, rate: int = RATE) -> bytes:
    fmt = described(channels=samples.shape[1], bits=bits, rate=rate)
    return riff(fmt, chunk(b"data", whole(samples, bits)))


def real(samples: NDArray[np.float64], bits: int = 32, rate: int = RATE) -> bytes:
    fmt = described(code=3, channels=samples.shape[1], bits=bits, rate=rate, more=b"\0\0")
    return riff(fmt, chunk(b"data", samples.astype(f"<f{bits // 8}").tobytes()))


def extensible(samples: NDArray[np.float64], bits: int = 24) -> bytes:
    tail = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
    more = struct.pack("<HHIH", 22, bits, 0, 1) + tail
    fmt = described(code=0xFFFE, channels=samples.shape[1], bits=bits, more=more)
    return riff(fmt, chunk(b"data", whole(samples, bits)))


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_one(value: float, at: int) -> NDArray[np.float64]:
    samples = noise()
    samples[at] = value
    return samples


def flac() -> bytes:
    soundfile = pytest.importorskip("soundfile", reason="coded sound needs soundfile")
    file = io.BytesIO()
    soundfile.write(file, noise(16000), RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


DATA = chunk(b"data", whole(noise(), 16))
TEXT = b"Notes on birds, not their song.\n" * 60
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(2000)

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "absurd_rate.wav": (lambda: wav(noise(), rate=2**32 - 1), "rate must be .*, got 4294967295"),
    "beyond_all.wav": (lambda: real(with_one(3e38, 3)), r"sample 3, .* is 3e\+38; expected finite"),
    "blank.flac": (lambda: b"", "is empty, 0 bytes long; expected a sound"),
    "blank.npy": (lambda: b"", "is empty, 0 bytes long; expected a sound"),
    "blank.wav": (lambda: b"", "is empty, 0 bytes long; expected a sound"),
    "clip.mp4": (lambda: MP4, r"cannot tell what it is by '\.mp4'; there are: \.wav, \.flac"),
    "clip.wav": (lambda: MP4, "is no WAV file"),
    "complex.npy": (lambda: npy(np.ones(HEARD, complex)), "holds complex128; expected int8, "),
    "cut_off.npy": (lambda: npy(noise()[:, 0])[:-9], r"is no \.npy file of numbers"),
    "cut_off.wav": (
        lambda: wav(noise())[:-1000],
        "ends early: its header tells of 1520 samples of each channel, 1020 are there",
    ),
    "described_twice_never_heard.wav": (
        lambda: riff(described(), described()),
        r"no samples \(data\) follow its header",
    ),
    "empty.npy": (lambda: npy(np.empty(0)), "holds no samples"),
    "endless_of_nothing.wav": (
        lambda: riff(described(), chunk(b"data", b"", 2**32 - 1)),
        "holds no samples",
    ),
    "frames_of_video.npy": (lambda: npy(np.ones((2, 3, 900))), "has another shape than"),
    "header_cut_off.wav": (lambda: wav(noise())[:20], "are not described|ends early, or"),
    "infinite.wav": (lambda: real(with_one(-np.inf, 1500)), "sample 1500, .* is -inf"),
    "long_numbers.npy": (lambda: npy(np.ones(HEARD, np.int64)), "holds int64; expected int8, "),
    "many_chunks.wav": (
        lambda: riff(described(), chunk(b"JUNK", b"") * 2000, DATA),
        r"no samples \(data\) follow its header",
    ),
    "many_channels.wav": (
        lambda: riff(described(channels=2000), DATA),
        "has 2000 channels; expected 1 to 1024|holds no samples",
    ),
    "nan.wav": (lambda: real(with_one(np.nan, 7)), "sample 7, counted from 0, is nan"),
    "no_channels.wav": (
        lambda: riff(described(channels=0), DATA),
        "tells of 0 channels of 16 bits in 0 bytes",
    ),
    "no_samples.wav": (lambda: wav(noise(0)), "holds no samples"),
    "rate_of_nothing.wav": (lambda: wav(noise(), rate=0), "rate must be .*, got 0"),
    "samples_first.wav": (
        lambda: riff(chunk(b"data", bytes(3200)), described()),
        r"are not described \(fmt\)",
    ),
    "short.wav": (
        lambda: wav(noise(399)),
        r"short\.wav: lasts 24\.94 ms; one frame takes 25 ms",
    ),
    "text.wav": (lambda: TEXT, "is no WAV file"),
    "transposed.npy": (lambda: npy(noise(channels=2)), "has another shape than"),
    "truth.npy": (lambda: npy(np.ones(HEARD, bool)), "holds bool; expected int8, "),
    "wrong_step.wav": (
        lambda: riff(described(channels=2, step=2), DATA),
        "tells of 2 channels of 16 bits in 2 bytes",
    ),
}

BROKEN: dict[str, Callable[[], bytes]] = {
    "coded.wav": lambda: riff(described(code=0x1234), DATA),
    "cut_off.flac": lambda: flac()[:1500],
    "header_cut_off.flac": lambda: flac()[:20],
    "holed.flac": lambda: flac()[:600] + bytes(900) + flac()[1500:],
    "text.flac": lambda: TEXT,
    "text.mp3": lambda: TEXT,
    "text.ogg": lambda: TEXT,
    "wide.wav": lambda: chunk(b"RF64", b"WAVE" + TEXT),
}
"""What soundfile has to refuse."""
