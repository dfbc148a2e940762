"""Hostile sound: headers that lie, files that were cut off, odd rates; and what is said of each."""

import io
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.sensory import Fbank
from edgespark.runtime.sound.memory import Sound
from edgespark.runtime.sound.read import read_fbank
from edgespark.runtime.sound.resampling import resampled_length
from tests.runtime.sound_cases import (
    HEARD,
    RATE,
    RECORD,
    chunk,
    described,
    flac,
    noise,
    riff,
    wav,
    whole,
)

FULL = Fbank(rate=RATE, mels=128, frames=1024, mean=-4.2677393, std=4.5689974)
BODY = whole(noise(), 16)
SIZE_AT = 40
"""Where the length of the samples stands in the header of a plain file."""


def fbank(value: object, record: Fbank = RECORD) -> NDArray[Any]:
    return np.asarray(read_fbank(record, value, lambda _: []).arrays["fbank"][0, 0])


def told(said: str) -> pytest.WarningsRecorder:
    return pytest.warns(EdgesparkWarning, match=said)


def saved(folder: Path, name: str, data: bytes | bytearray) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def with_size(folder: Path, size: int, name: str = "a.wav") -> Path:
    data = bytearray(wav(noise()))
    struct.pack_into("<I", data, SIZE_AT, size)
    return saved(folder, name, data)


def coded(shape: str, samples: NDArray[Any], **fields: Any) -> bytes:  # noqa: ANN401 soundfile's
    soundfile = pytest.importorskip("soundfile", reason="coded sound needs soundfile")
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=shape, **fields)
    return file.getvalue()


def test_a_header_of_no_samples_that_follow_all_the_same_is_told(tmp_path: Path) -> None:
    with told("tells of 0 samples .* 3040 bytes stand behind them, .* all that follows is taken"):
        found = fbank(with_size(tmp_path, 0))
    np.testing.assert_array_equal(found, fbank(saved(tmp_path, "b.wav", wav(noise()))))


def test_a_header_of_fewer_samples_than_follow_is_told(tmp_path: Path) -> None:
    with told("tells of 1000 samples .*, yet 1040 bytes .* the rest is left out"), told("padded"):
        found = fbank(with_size(tmp_path, 2000))
    with told("padded"):
        np.testing.assert_array_equal(found, fbank(saved(tmp_path, "b.wav", wav(noise()[:1000]))))


def test_more_than_4_gib_of_which_a_header_cannot_tell_is_told(tmp_path: Path) -> None:
    size = 1 << 28
    path = saved(tmp_path, "a.wav", riff(described(channels=2), chunk(b"data", b"", size)))
    with path.open("r+b") as file:  # silence that takes no place on the disk
        file.truncate(44 + (1 << 32) + size)
    tracemalloc.start()
    try:
        with told(f"yet {1 << 32} bytes stand behind them"), told(r"lasts 4194\.3 s"):
            fbank(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\0",
        chunk(b"LIST", b"INFO"),
        chunk(b"id3 ", b"odd")[:-1],
    ],
)
def test_what_may_stand_behind_samples_is_not_told(tmp_path: Path, behind: bytes) -> None:
    plain = saved(tmp_path, "a.wav", wav(noise()))
    path = saved(tmp_path, "b.wav", riff(described(), chunk(b"data", BODY), behind))
    np.testing.assert_array_equal(fbank(path), fbank(plain))


def test_samples_of_odd_length_may_lack_the_byte_that_fills_them_up(tmp_path: Path) -> None:
    fmt, body = described(bits=8), whole(noise(HEARD - 1), 8)
    files = [
        riff(fmt, b"data" + struct.pack("<I", len(body)) + body + fill + chunk(b"LIST", b"INFO"))
        for fill in (b"\0", b"")
    ]
    first, second = (
        fbank(saved(tmp_path, f"{k}.wav", each), Fbank(rate=RATE, mels=20, frames=7, mean=0, std=1))
        for k, each in enumerate(files)
    )
    np.testing.assert_array_equal(first, second)


def test_a_part_of_a_sample_that_is_missing_does_not_matter(tmp_path: Path) -> None:
    plain = saved(tmp_path, "b.wav", wav(noise()))
    np.testing.assert_array_equal(fbank(with_size(tmp_path, 2 * HEARD + 1)), fbank(plain))


@pytest.mark.parametrize("size", [2 * HEARD + 2, 2**31, 2**32 - 2])
def test_a_header_of_more_samples_than_follow_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match=f"tells of {size // 2} samples .*, 1520 are there"):
        fbank(with_size(tmp_path, size))


@pytest.mark.parametrize(
    ("name", "shape", "fields"),
    [("a.ogg", "OGG", {}), ("a.opus", "OGG", {"subtype": "OPUS"})],
)
def test_ogg_without_its_end_is_told(
    tmp_path: Path, name: str, shape: str, fields: dict[str, str]
) -> None:
    data = coded(shape, noise(20 * RATE), **fields)
    with told("seems to be cut off: not all of it is there"), told("are cut off: give the part"):
        fbank(saved(tmp_path, name, data[: len(data) // 2]))


def test_mp3_without_a_header_is_no_missing_file(tmp_path: Path) -> None:
    pytest.importorskip("soundfile", reason="coded sound needs soundfile")
    with pytest.raises(InputError, match="cannot be read as sound: ") as caught:
        fbank(saved(tmp_path, "a.mp3", b"\xff\xfb\x90"))
    assert "does not exist" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_a_name_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.flac", flac())
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.flac"))
    try:
        path.rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with told("are cut off"):
        fbank(odd)


@pytest.mark.parametrize("rate", [8000, 11025, 15999])
def test_what_a_lower_rate_lacks_is_told(rate: int) -> None:
    with told(f"is at {rate} Hz; resampled to the 16000 Hz .*; it has nothing above {rate / 2:g}"):
        fbank(Sound(noise(HEARD * rate // RATE)[:, 0], rate=rate))


def test_a_higher_rate_lacks_nothing() -> None:
    with told("is at 44100 Hz; resampled to the 16000 Hz of the model$"):
        fbank(Sound(noise(HEARD * 44100 // RATE)[:, 0], rate=44100))


def test_the_model_s_own_length_at_its_own_rate_is_no_reason_to_warn() -> None:
    fbank(np.full(164_080, 0.1), FULL)


def test_16_bit_samples_in_32_bits_are_told() -> None:
    with told("reach 1.5.*e-05 of full scale only, less than a step of 16 bits"):
        fbank(np.round(noise()[:, 0] * 2**16).astype(np.int32))


def test_a_tone_that_the_model_cannot_hear_is_not_mirrored_into_what_it_hears() -> None:
    times = np.arange(10 * 44100) / 44100
    with told("is at 44100 Hz"), told("lasts 10 s; .* padded with zeros"):
        found = fbank(Sound(0.5 * np.sin(2 * np.pi * 12_000 * times), rate=44100), FULL)
    with told("padded with zeros"):
        silence = fbank(np.zeros(10 * RATE), FULL)
    inside = slice(2, 996)  # around them the tone begins and ends
    assert (found - silence)[:, inside].max() * 2 * FULL.std < 0.5  # in logarithms of energy


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_ten_seconds_stay_ten_seconds(rate: int) -> None:
    assert resampled_length(10 * rate, rate, RATE) == 10 * RATE
