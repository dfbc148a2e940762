"""Log-mel energies against Kaldi's and by hand, and the resampling before them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.sound.fbank import (
    FLOOR,
    frame_count,
    frame_sizes,
    log_mels,
    mel_filters,
    samples_in,
)
from edgespark.runtime.sound.resampling import needed, resampled, resampled_length
from tests.runtime.sound_cases import RATE

Doubles = NDArray[np.float64]
RANDOM = np.random.default_rng(11)
TIMES = np.arange(RATE // 2) / RATE
SIGNALS: dict[str, Doubles] = {
    "noise": RANDOM.normal(size=RATE // 2) / 10,
    "quiet noise": RANDOM.normal(size=RATE // 2) / 1000,
    "an offset": 0.3 + RANDOM.normal(size=RATE // 2) / 10,
    "a voice": sum(
        (np.sin(2 * np.pi * k * (120 * TIMES + 60 * TIMES**2)) / k**2 for k in range(1, 30)),
        RANDOM.normal(size=RATE // 2) / 100,
    ),
    "silence": np.zeros(RATE // 2),
    "one frame": RANDOM.normal(size=400) / 10,
    "almost two frames": RANDOM.normal(size=559) / 10,
}


def kaldi(signal: Doubles, rate: int, mels: int) -> NDArray[Any]:
    """Return the energies of Kaldi's own code, float32 [frames, mels]."""
    library = pytest.importorskip("kaldi_native_fbank", reason="the oracle")
    options = library.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = mels
    options.htk_compat = True
    made = library.OnlineFbank(options)
    made.accept_waveform(rate, signal.astype(np.float32).tolist())
    made.input_finished()
    return np.stack([made.get_frame(frame) for frame in range(made.num_frames_ready)])


@pytest.mark.parametrize("name", SIGNALS)
def test_the_energies_are_kaldis(name: str) -> None:
    found = log_mels(SIGNALS[name], RATE, 80)
    np.testing.assert_allclose(found, kaldi(SIGNALS[name], RATE, 80), atol=1e-3)


def test_the_energies_of_128_bands_at_32_khz_are_kaldis() -> None:
    found = log_mels(SIGNALS["noise"], 32000, 128)
    np.testing.assert_allclose(found, kaldi(SIGNALS["noise"], 32000, 128), atol=2e-3)


def test_128_bands_at_16_khz_add_up_to_42_of_kaldis() -> None:
    # Kaldi's own code refuses 128, as one holds nothing; 129 edges are 43 times 3, and a wide
    # triangle is five narrow ones, of these heights
    fine = np.exp(log_mels(SIGNALS["noise"], RATE, 128))
    heights = (1 / 3, 2 / 3, 1, 2 / 3, 1 / 3)
    wide = sum(height * fine[:, i : i + 124 : 3] for i, height in enumerate(heights))
    np.testing.assert_allclose(np.log(wide), kaldi(SIGNALS["noise"], RATE, 42), atol=2e-3)


def test_frames_are_25_ms_every_10_ms_and_whole() -> None:
    assert frame_sizes(RATE) == (400, 160)
    assert [frame_count(samples, RATE) for samples in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]
    assert samples_in(1024, RATE) == 164_080
    assert frame_count(164_080, RATE) == 1024 == frame_count(164_239, RATE)
    for samples in (0, 399, 400, 559, 560):
        assert log_mels(np.ones(samples), RATE, 3).shape == (frame_count(samples, RATE), 3)


def test_silence_and_an_offset_are_the_floor() -> None:
    assert np.log(FLOOR) == pytest.approx(-15.942385)
    for level in (0.0, 0.7):
        np.testing.assert_array_equal(log_mels(np.full(400, level), RATE, 9), np.log(FLOOR))


def test_twice_the_signal_is_four_times_the_energy() -> None:
    loud, soft = (log_mels(level * SIGNALS["noise"], RATE, 40) for level in (2, 1))
    np.testing.assert_allclose(loud - soft, np.log(4), atol=1e-9)


def test_a_tone_lies_in_the_band_around_it() -> None:
    mels = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700), 82)
    tone = 700 * np.expm1(mels[41] / 1127)
    found = log_mels(np.sin(2 * np.pi * tone * TIMES), RATE, 80)
    assert (found.argmax(axis=1) == 40).all()


def test_the_filters_are_triangles_that_reach_from_20_hz_to_half_the_rate() -> None:
    filters = mel_filters(RATE, 20, 256)
    assert filters.shape == (20, 256)
    assert filters.min() == 0
    assert filters.max() <= 1
    assert not filters[:, 0].any()
    edges = 700 * np.expm1(np.linspace(31.748, 2840.0377, 22) / 1127) / 31.25
    for band, (low, _, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        inside = np.flatnonzero(filters[band])
        assert low < inside.min() <= low + 1
        assert high - 1 <= inside.max() < high


RATES = [
    (44100, 16000),
    (48000, 16000),
    (8000, 16000),
    (22050, 16000),
    (16000, 44100),
    (16001, 999),
]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_keeps_amplitude_and_phase(source: int, target: int) -> None:
    tone, length = 0.9 * min(source, target) / 2, source // 4
    signal = np.cos(2 * np.pi * tone * np.arange(length) / source + 1)
    count = resampled_length(length, source, target)
    found = resampled(signal, source, target, count)
    expected = np.cos(2 * np.pi * tone * np.arange(count) / target + 1)
    edge = 200 * target // min(source, target)  # where the zeros around it reach
    np.testing.assert_allclose(found[edge:-edge], expected[edge:-edge], atol=1e-4)


@pytest.mark.parametrize("tone", [8001, 9000, 15990, 20000])
def test_what_the_lower_rate_cannot_hold_is_80_db_down(tone: int) -> None:
    signal = np.sin(2 * np.pi * tone * np.arange(11025) / 44100)
    found = resampled(signal, 44100, 16000, 4000)
    assert np.abs(found[200:-200]).max() < 1e-4


def test_upsampling_makes_nothing_above_the_lower_rates_half() -> None:
    found = resampled(RANDOM.normal(size=4000), 8000, 16000, 8000)[400:-400]
    power = np.square(np.abs(np.fft.rfft(found * np.kaiser(len(found), 20))))
    above = len(power) // 2 + 40
    assert power[above:].max() < 1e-8 * power[:above].max()


@pytest.mark.parametrize(("source", "target"), [*RATES, (16000, 16000)])
def test_what_is_needed_is_enough(source: int, target: int) -> None:
    signal = RANDOM.normal(size=source // 4)
    found = resampled(signal[: needed(77, source, target)], source, target, 77)
    np.testing.assert_array_equal(found, resampled(signal, source, target, 150)[:77])


def test_equal_rates_change_nothing() -> None:
    np.testing.assert_array_equal(resampled(TIMES, RATE, RATE, 50), TIMES[:50])


def test_a_single_sample_is_resampled() -> None:
    assert resampled_length(1, 44100, 16000) == 1
    assert resampled(np.ones(1), 44100, 16000, 1) == pytest.approx(0.98 * 16000 / 44100)
