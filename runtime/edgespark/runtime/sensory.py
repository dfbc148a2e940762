"""Preprocessing of pictures, clips, sound, motion and scans, as CLIP-like encoders take them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # hertz of sound


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Colour pictures, as CLIP prepares them (openai/CLIP at d05afc4).

    The shorter side is resized to `size` with antialiased bicubic interpolation of 8-bit values, as
    Pillow does it, columns first, and the middle `size` x `size` is cut out; a value v of 0…255
    becomes (v / 255 - mean) / std of its colour, red first. Gives one array, `pixels`: float32 [1,
    3, size, size].
    """

    kind: Literal["picture"] = "picture"
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no colour picture, and what cannot be divided by."""
        if self.size < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:  # noqa: PLR2004 colours
            raise ValueError("a picture needs size >= 1, and three means and positive stds")


@dataclass(frozen=True, kw_only=True, slots=True)
class PicturePair:
    """A colour picture and a second one of the same view, such as its depth or its normals.

    Both are prepared as `picture` says; the second is first stretched to the size of the first, in
    the same way.
    `second` says what it shows. Gives one array, `frames`: float32 [1, 2, 3, size, size].
    """

    kind: Literal["picture pair"] = "picture pair"
    picture: Picture
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Clips:
    """Video: one frame of each of `clips` clips, spread over it, in `crops` square cuts each.

    As OneLLM samples video (csuhan/OneLLM at 8587a47, with pytorchvideo 0.1.5): clip i of `seconds`
    begins at i * (length - seconds) / clips, and its first frame is taken. The shorter side is
    brought to `size` by bilinear interpolation without antialiasing; the cuts stand along the
    longer one, spread evenly from its beginning to its end, one alone in the middle. Gives one
    array, `frames`: float32 [1, clips * crops, 3, size, size], the cuts of a frame side by side.
    """

    kind: Literal["clips"] = "clips"
    clips: int
    seconds: float
    crops: int
    picture: Picture

    def __post_init__(self) -> None:
        """Refuse a video of nothing."""
        if self.clips < 1 or self.crops < 1 or self.seconds <= 0:
            raise ValueError("clips need clips, crops >= 1 and seconds > 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fbank:
    """Sound as log-mel energies: Kaldi's fbank with the settings of AST (YuanGongND/ast).

    The first channel, at `rate` hertz; frames of 25 ms every 10 ms, of each its mean removed, pre-
    emphasised by 0.97, under a symmetric Hann window; `mels` triangular filters from 20 Hz to half
    the rate, no dither; `frames` frames: the end cut, or padded with zeros, before all is given as
    (x - mean) / (2 std). Gives one array, `fbank`: float32 [1, 1, mels, frames].
    """

    kind: Literal["fbank"] = "fbank"
    rate: int
    mels: int
    frames: int
    mean: float
    std: float

    def __post_init__(self) -> None:
        """Refuse sound of nothing, and what cannot be divided by."""
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise ValueError(f"an fbank needs a rate of {LOWEST_RATE} to {HIGHEST_RATE} hertz")
        if min(self.mels, self.frames) < 1 or self.std <= 0:
            raise ValueError("an fbank needs mels, frames >= 1 and std > 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """Readings of an inertial measurement unit: `channels` signals at `rate` hertz.

    Resampled to `rate` as torchaudio does, not normalised (OneLLM: m/s² and rad/s, acceleration
    first), then `samples` of them: the end cut, or padded with zeros. Gives one array, `signal`:
    float32 [1, channels, samples].
    """

    kind: Literal["motion"] = "motion"
    channels: tuple[str, ...]
    rate: float
    samples: int

    def __post_init__(self) -> None:
        """Refuse signals of nothing."""
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError("motion needs channels, of different names")
        if self.rate <= 0 or self.samples < 1:
            raise ValueError("motion needs rate > 0 and samples >= 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Voxels:
    """Brain activity (fMRI): one value per voxel, the mean over repeats of the same stimulus.

    Gives one array, `voxels`: float32 [1, 1, count].
    """

    kind: Literal["voxels"] = "voxels"
    count: int

    def __post_init__(self) -> None:
        """Refuse a scan of nothing."""
        if self.count < 1:
            raise ValueError("voxels need count >= 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColouredPoints:
    """Point clouds with colours, as OneLLM takes them (csuhan/OneLLM at 8587a47).

    Of more than `count` points so many are kept, farthest first; their positions are moved to their
    mean and divided by the greatest distance from it. Colours are 0…1. Farthest-point sampling
    finds `groups` centres, each with the `neighbours` points
    nearest to it, both by the values of columns 3 to 5, as the public code has it. Gives one array,
    `neighbourhoods`: float32 [1, groups, neighbours, 6], not relative to their centre.
    """

    kind: Literal["coloured points"] = "coloured points"
    count: int
    groups: int
    neighbours: int

    def __post_init__(self) -> None:
        """Refuse more groups or neighbours than points."""
        if not 1 <= min(self.groups, self.neighbours) <= max(self.groups, self.neighbours):
            raise ValueError("coloured points need groups and neighbours >= 1")
        if max(self.groups, self.neighbours) > self.count:
            raise ValueError("coloured points need groups and neighbours <= count")


Sensory: TypeAlias = Picture | PicturePair | Clips | Fbank | Motion | Voxels | ColouredPoints
