"""Sound in memory and in files: what is read of it, what is told, and what is refused."""

import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra, MissingInput
from edgespark.runtime.sensory import Fbank
from edgespark.runtime.sound.fbank import log_mels
from edgespark.runtime.sound.files import SoundFile, open_sound
from edgespark.runtime.sound.memory import Sound
from edgespark.runtime.sound.read import read_fbank
from edgespark.runtime.starts import check_prepared
from tests.runtime.sound_cases import (
    BAD,
    BROKEN,
    HEARD,
    RATE,
    RECORD,
    chunk,
    described,
    extensible,
    noise,
    npy,
    real,
    riff,
    wav,
    whole,
)

SILENT = np.array(np.log(np.finfo(np.float32).eps))


def encode(_: str) -> list[int]:
    return []


def fbank(value: object, record: Fbank = RECORD) -> NDArray[Any]:
    """Return [mels, frames]."""
    made = read_fbank(record, value, encode)
    check_prepared(record, made)
    array = made.arrays["fbank"]
    assert array.flags.c_contiguous
    return np.asarray(array[0, 0])


def told(said: str) -> pytest.WarningsRecorder:
    return pytest.warns(EdgesparkWarning, match=said)


def given(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = (energies.T + 4.0) / 9.0
    return normal


def saved(folder: Path, name: str, data: bytes | bytearray) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def coded(folder: Path, name: str, samples: NDArray[Any], **fields: Any) -> Path:  # noqa: ANN401 soundfile's
    soundfile = pytest.importorskip("soundfile", reason="coded sound needs soundfile")
    soundfile.write(folder / name, samples, RATE, **fields)
    return folder / name


def test_the_energies_are_normalised_and_mels_stand_first() -> None:
    samples = noise()[:, 0]
    np.testing.assert_allclose(fbank(samples), given(log_mels(samples, RATE, 20)), atol=1e-6)


def test_what_is_missing_is_zeros_before_the_mean_is_taken_away() -> None:
    with told(r"lasts 0\.035 s; the model takes 0\.095 s: padded with zeros"):
        found = fbank(noise(560)[:, 0])
    np.testing.assert_array_equal(found[:, 2:], np.float32(4 / 9))
    np.testing.assert_array_equal(found[:, :2], fbank(noise()[:, 0])[:, :2])


def test_an_offset_of_the_whole_changes_nothing() -> None:
    np.testing.assert_allclose(fbank(noise()[:, 0] + 0.4), fbank(noise()[:, 0]), atol=1e-6)


def test_silence_is_taken() -> None:
    np.testing.assert_allclose(fbank(np.zeros(HEARD)), given(SILENT), atol=1e-6)


def test_a_long_end_is_cut_off_and_told() -> None:
    with pytest.warns(EdgesparkWarning, match=r"lasts 0\.2 s; .* first 0\.095 s, and the 0\.105 s"):
        found = fbank(noise(3200)[:, 0])
    np.testing.assert_array_equal(found, fbank(noise(3200)[: HEARD + 159, 0]))


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_another_rate_is_resampled(rate: int) -> None:
    record = Fbank(rate=RATE, mels=8, frames=8, mean=-4.0, std=4.5)
    times = np.arange(rate) / rate
    samples = np.sin(2 * np.pi * 3000 * times) + np.sin(2 * np.pi * 500 * times)
    with told(r"lasts 1 s"), told(f"is at {rate} Hz; resampled to the 16000 Hz of the model"):
        found = fbank(Sound(samples, rate=rate), record)
    times = np.arange(HEARD) / RATE
    expected = fbank(np.sin(2 * np.pi * 3000 * times) + np.sin(2 * np.pi * 500 * times), record)
    heard = expected > expected.max() - 0.6  # a tone's band; the others hold what rounding leaves
    heard[:, :2] = False  # where the zeros before the first sample reach
    np.testing.assert_allclose(found[heard], expected[heard], atol=1e-3)


def test_channels_that_are_equal_are_one() -> None:
    both = np.repeat(noise(), 2, axis=1).T
    np.testing.assert_array_equal(fbank(both), fbank(noise()[:, 0]))


def test_of_channels_that_differ_the_first_is_taken_and_told() -> None:
    samples = noise(channels=3)
    with pytest.warns(EdgesparkWarning, match="its 3 channels differ, and the first"):
        found = fbank(samples.T)
    np.testing.assert_array_equal(found, fbank(samples[:, 0]))


def test_samples_that_were_not_scaled_are_told() -> None:
    with pytest.warns(EdgesparkWarning, match="its samples reach 20000, full scale is 1"):
        fbank(np.where(np.arange(HEARD) % 2, 20000.0, -3.0))


@pytest.mark.parametrize(
    ("dtype", "silence", "full"),
    [("i1", 0, 2**7), ("u1", 2**7, 2**7), (">i2", 0, 2**15), ("<i4", 0, 2**31), ("f2", 0, 1)],
)
def test_whole_numbers_are_scaled_by_their_type(dtype: str, silence: int, full: int) -> None:
    samples = (np.round(noise()[:, 0] * 100) / 128 * full + silence).astype(dtype)
    back = (samples.astype(np.float64) - silence) / full
    np.testing.assert_array_equal(fbank(samples), fbank(back))


PLAIN = {
    "8 bits": lambda samples: wav(samples, 8),
    "16 bits": lambda samples: wav(samples, 16),
    "24 bits": lambda samples: wav(samples, 24),
    "32 bits": lambda samples: wav(samples, 32),
    "floats": lambda samples: real(samples, 32),
    "doubles": lambda samples: real(samples, 64),
    "extensible": lambda samples: extensible(samples, 24),
    "other chunks": lambda samples: riff(
        chunk(b"JUNK", b"odd"),
        described(channels=2),
        chunk(b"LIST", bytes(300)),
        chunk(b"data", whole(samples, 16)),
        chunk(b"id3 ", b"behind the samples"),
    ),
    "endless": lambda samples: riff(
        described(channels=2), chunk(b"data", whole(samples, 16), 2**32 - 1)
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_wav_is_read_without_a_library(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    samples = np.round(noise(900, channels=2) * 100) / 128
    path = saved(tmp_path, "a.WAV", PLAIN[name](samples))
    with open_sound(RECORD, SoundFile(path)) as recording:
        assert (recording.rate, recording.channels, recording.length) == (RATE, 2, 900)
        np.testing.assert_allclose(recording.read(0, 900), samples, atol=1e-7)
        np.testing.assert_array_equal(recording.read(7, 11), recording.read(0, 900)[7:11])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("shape", ["WAV", "WAVEX"])
def test_plain_wav_is_read_as_soundfile_reads_it(tmp_path: Path, subtype: str, shape: str) -> None:
    library = pytest.importorskip("soundfile", reason="the oracle")
    path = coded(tmp_path, "a.wav", noise(700, 2), subtype=subtype, format=shape)
    with open_sound(RECORD, SoundFile(path)) as recording:
        np.testing.assert_array_equal(recording.read(0, 700), library.read(path)[0])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("a.flac", {}),
        ("a.flac", {"subtype": "PCM_24"}),
        ("a.aiff", {}),
        ("a.wav", {"subtype": "ULAW"}),
        ("a.wav", {"format": "RF64"}),
        ("a.wav", {"endian": "BIG"}),
    ],
)
def test_coded_sound_is_read(tmp_path: Path, name: str, fields: dict[str, str]) -> None:
    samples = noise()
    found = fbank(coded(tmp_path, name, samples, **fields))
    np.testing.assert_allclose(found, fbank(samples[:, 0]), atol=0.02)


@pytest.mark.parametrize(
    ("name", "fields"),
    [("a.ogg", {}), ("a.opus", {"format": "OGG", "subtype": "OPUS"}), ("a.mp3", {})],
)
def test_sound_coded_with_loss_is_read(tmp_path: Path, name: str, fields: dict[str, str]) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(HEARD) / RATE)
    found = fbank(coded(tmp_path, name, tone, **fields))
    assert found.argmax(axis=0)[2:6].tolist() == fbank(tone).argmax(axis=0)[2:6].tolist()


def test_flac_that_does_not_tell_its_length_is_refused(tmp_path: Path) -> None:
    data = bytearray(coded(tmp_path, "a.flac", noise(5000)).read_bytes())
    data[21] &= 0xF0  # STREAMINFO's 36 bits of how many samples follow
    data[22:26] = bytes(4)
    with pytest.raises(InputError, match="does not tell how long it is"):
        fbank(saved(tmp_path, "b.flac", data))


def test_a_file_that_seems_to_be_cut_off_is_told(tmp_path: Path) -> None:
    path = coded(tmp_path, "a.aiff", noise())
    cut = saved(tmp_path, "b.aiff", path.read_bytes()[:-1000])
    with told("seems to be cut off"), told("padded with zeros"):
        fbank(cut)


def test_a_part_of_a_file_is_taken_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.wav", real(noise(8000)))
    part = fbank(noise(8000)[1600:3120, 0].astype(np.float32))
    np.testing.assert_array_equal(fbank(SoundFile(path, start=0.1, stop=0.195)), part)
    np.testing.assert_array_equal(fbank(Argument(f"{path}?start=0.1&stop=0.195")), part)
    with told("lasts .* padded with zeros"):
        end = fbank(noise(8000)[7200:, 0].astype(np.float32))
    with told(r"the part that is meant lasts 0\.05 s; .* padded with zeros"):
        np.testing.assert_array_equal(fbank(SoundFile(path, start=0.45)), end)
        np.testing.assert_array_equal(fbank(SoundFile(path, start=0.45, stop=0.5004)), end)


def test_a_npy_file_is_at_the_models_rate(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.npy", npy(noise()[:, 0]))
    np.testing.assert_array_equal(fbank(str(path)), fbank(noise()[:, 0]))


def test_no_more_is_read_than_the_frames_take(tmp_path: Path) -> None:
    size = 1 << 27
    path = saved(tmp_path, "a.wav", riff(described(rate=48000), chunk(b"data", b"", size)))
    with path.open("r+b") as file:  # an hour of silence that takes no place on the disk
        file.truncate(44 + size)
    tracemalloc.start()
    with told(r"lasts 1398\.1 s"), told("is at 48000 Hz"):
        fbank(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(tmp_path: Path, name: str) -> None:
    make, said = BAD[name]
    with pytest.raises(InputError, match=said) as caught:
        fbank(saved(tmp_path, name, make()))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_what_soundfile_cannot_read_is_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("soundfile", reason="coded sound needs soundfile")
    with pytest.raises(InputError, match=r"cannot be read as sound: |ends early"):
        fbank(saved(tmp_path, name, BROKEN[name]()))


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.wav"])
def test_without_soundfile_the_extra_is_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = saved(tmp_path, name, riff(described(code=7), chunk(b"data", bytes(800))))
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[media\]'"):
        fbank(path)


@pytest.mark.parametrize("rate", [0, -16000, 999, 2**40, 22254.54, np.nan, np.inf, True, "16000"])
def test_a_rate_that_no_sound_has_is_refused(rate: Any) -> None:  # noqa: ANN401 anything
    with pytest.raises(InputError, match="rate must be a whole number of hertz, 1000 to 1000000"):
        Sound(noise()[:, 0], rate=rate)


@pytest.mark.parametrize("rate", [16000.0, np.int32(16000), np.float32(16000)])
def test_a_whole_rate_may_be_of_any_type(rate: Any) -> None:  # noqa: ANN401 any number
    assert Sound(noise()[:, 0], rate=rate).rate == 16000


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([0.0] * HEARD, "expected an array .* a Sound, a path or a SoundFile, got list"),
        (None, "expected an array .* got NoneType"),
        (np.empty(0), r"array \(0,\): holds no samples"),
        (np.empty((0, 500)), "has 0 channels"),
        (np.float64(1), "has another shape"),
        (noise(399)[:, 0], r"lasts 24\.94 ms; one frame takes 25 ms"),
        (noise(channels=2), r"array \(1520, 2\): has another shape"),
        (np.full(HEARD, "a"), "holds str"),
        (np.ma.masked_greater(noise()[:, 0], 0.4), "has masked samples"),
        (np.full(HEARD, np.nan, np.float32), "sample 0, counted from 0, is nan"),
        (np.full(HEARD, 1e200), r"sample 0, counted from 0, is 1e\+200"),
    ],
)
def test_bad_samples_are_refused(samples: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fbank(samples)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ({"start": 2, "stop": 1}, "stop=1 must be greater than start=2"),
        ({"start": 1, "stop": 1}, "stop=1 must be greater than start=1"),
        ({"stop": 0}, "stop=0 must be greater than start=0"),
        ({"start": -1}, "start must be a number of seconds, 0 or more, got -1"),
        ({"stop": np.inf}, "stop must be a number of seconds"),
        ({"start": "1"}, "start must be a number of seconds"),
        ({"start": 0.5}, r"start=0\.5 is beyond its end; it lasts 0\.5 s"),
        ({"start": 1e300}, r"start=1e\+300 is beyond its end"),
        ({"stop": 0.51}, r"stop=0\.51 is beyond its end; it lasts 0\.5 s"),
        ({"start": 0.1, "stop": 0.11}, "the part that is meant lasts 10 ms; one frame takes 25 ms"),
        ({"start": 0.49}, "the part that is meant lasts 10 ms"),
    ],
)
def test_a_part_that_cannot_be_is_refused(tmp_path: Path, span: Any, said: str) -> None:  # noqa: ANN401
    path = saved(tmp_path, "a.wav", wav(noise(8000)))
    with pytest.raises(InputError, match=said):
        fbank(SoundFile(path, **span))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no such file"):
        fbank(tmp_path / "none.wav")
    with pytest.raises(InputError, match="is a folder"):
        fbank(tmp_path)
    with pytest.raises(InputError, match="expected the path of a sound"):
        SoundFile("")


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.wav", wav(noise()))
    with pytest.raises(InputError, match="no option 'rate'; there are: start, stop"):
        fbank(Argument(f"{path}?rate=8000"))


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.wav", wav(noise(20000)))
    with open_sound(RECORD, SoundFile(path)) as recording:
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(InputError, match="ends early"):
            recording.read(18000, 20000)


def test_every_byte_of_a_wav_header_may_be_wrong(tmp_path: Path) -> None:
    good = wav(noise(500))
    for at in range(44):
        for byte in (0, 1, 0x7F, 0xFF):
            data = bytearray(good)
            data[at] = byte
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EdgesparkWarning)
                try:
                    fbank(saved(tmp_path, "a.wav", data))
                except (InputError, MissingExtra):
                    continue
