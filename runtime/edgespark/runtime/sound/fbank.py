"""Kaldi's log-mel filter bank energies, in numpy."""

from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Doubles: TypeAlias = NDArray[np.float64]

PREEMPHASIS = 0.97
LOWEST = 20.0
"""Hertz, at which the first filter begins; the last ends at half the rate."""
FLOOR = float(np.finfo(np.float32).eps)
"""Energies are at least this before their logarithm, -15.94, which is what silence gives."""


def log_mels(signal: Doubles, rate: int, mels: int) -> Doubles:
    """Return the logarithms of the energies in `mels` bands, float64 [frames, mels].

    As Kaldi's compute-fbank-feats (kaldi-asr/kaldi, src/feat: feature-fbank.cc, feature-window.cc,
    mel-computations.cc) and torchaudio.compliance.kaldi.fbank: frames of 25 ms every 10 ms, those
    alone that lie whole in the signal; of each its mean is removed, it is pre-emphasised by 0.97,
    and a symmetric Hann window is laid over it; the power spectrum of the frame, lengthened with
    zeros to a power of two, is summed under triangles that are even on the mel scale,
    1127 ln(1 + f / 700). No dither.
    `signal` is float64 [samples], at `rate` hertz, full scale 1.
    """
    size, shift = frame_sizes(rate)
    if len(signal) < size:
        return np.empty((0, mels))
    frames = sliding_window_view(signal, size)[::shift]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate((frames[:, :1], frames[:, :-1]), axis=1)
    shaped = (frames - PREEMPHASIS * before) * np.hanning(size)
    length = 1 << (size - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(shaped, length)))
    energies = power[:, :-1] @ mel_filters(rate, mels, length // 2).T
    logarithms: Doubles = np.log(np.maximum(energies, FLOOR))
    return logarithms


def frame_sizes(rate: int) -> tuple[int, int]:
    """Return how many samples a frame has, and from one frame to the next: 25 ms and 10 ms."""
    return rate * 25 // 1000, rate * 10 // 1000


def frame_count(samples: int, rate: int) -> int:
    """Return how many whole frames lie in so many samples."""
    size, shift = frame_sizes(rate)
    return 0 if samples < size else 1 + (samples - size) // shift


def samples_in(frames: int, rate: int) -> int:
    """Return how many samples so many frames take; 1 or more frames."""
    size, shift = frame_sizes(rate)
    return size + (frames - 1) * shift


def mel_filters(rate: int, mels: int, bins: int) -> Doubles:
    """Return the share of each bin of the spectrum in each band, [mels, bins].

    The bins are those of a spectrum of 2 `bins` samples, without the last, half the rate. A low
    band that is narrower than a bin may hold none.
    """
    edges = np.linspace(_mel(LOWEST), _mel(rate / 2), mels + 2)[:, None]
    at = _mel(np.arange(bins, dtype=np.float64) * (rate / 2 / bins))
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0)


def _mel(hertz: Doubles | float) -> Doubles:
    mel: Doubles = 1127 * np.log1p(np.asarray(hertz, np.float64) / 700)
    return mel
