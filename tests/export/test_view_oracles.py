"""Pictures and clips against PyTorch and Pillow, with the arithmetic of CLIP and ImageBind."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgespark.runtime.sensory import Clips, Picture, PicturePair
from edgespark.runtime.views.bicubic import Bytes
from edgespark.runtime.views.bilinear import bilinear
from edgespark.runtime.views.read import read_clips, read_pair, read_picture

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP = Picture(size=224, mean=MEAN, std=STD)
PAIR = PicturePair(picture=CLIP, second="depth")
CLIPS = Clips(clips=5, seconds=1.0, crops=3, picture=CLIP)

ROUNDING = 4e-5
"""Positions are float32: 4e-5 of a sample near the 640th. Mostly, 2e-7 are measured."""


def noise(*shape: int) -> Bytes:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def normal(image: torch.Tensor) -> torch.Tensor:
    """Return what ToTensor and Normalize make of 0…1."""
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (MEAN, STD))
    return image.clone().sub_(mean).div_(std)


def clips_way(picture: Any, size: int) -> NDArray[np.float32]:  # noqa: ANN401 Pillow's
    """Resize the shorter side, cut the middle, normalise: by Pillow and PyTorch."""
    width, height = picture.size
    long = int(size * max(width, height) / min(width, height))
    new = (size, long) if width <= height else (long, size)
    resized = picture.resize(new, 3)  # bicubic
    left, top = (round((side - size) / 2.0) for side in new)
    cut = np.array(resized.crop((left, top, left + size, top + size)))
    made: NDArray[np.float32] = normal(
        torch.from_numpy(cut).permute(2, 0, 1).to(torch.float32).div(255)
    ).numpy()
    return made


def pillow_from(image: Bytes) -> Any:  # noqa: ANN401 Pillow's
    pillow = pytest.importorskip("PIL.Image", reason="the oracle is Pillow")
    return pillow.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


@pytest.mark.parametrize("shape", [(300, 401), (401, 300), (90, 61), (224, 224), (231, 225)])
def test_a_picture_is_clips_bit_for_bit(shape: tuple[int, int]) -> None:
    image = noise(3, *shape)
    made = read_picture(CLIP, image, lambda _: []).arrays["pixels"][0]
    np.testing.assert_array_equal(made, clips_way(pillow_from(image), 224))


def test_a_pair_is_onellms_bit_for_bit() -> None:
    first, second = noise(3, 240, 320), noise(1, 120, 160)
    made = read_pair(PAIR, (first, second), lambda _: []).arrays["frames"][0]
    colours = pillow_from(first)
    other = pillow_from(np.broadcast_to(second, (3, 120, 160))).resize(colours.size)
    for array, picture in zip(made, (colours, other), strict=True):
        np.testing.assert_array_equal(array, clips_way(picture, 224))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((30, 40), (7, 9)),
        ((9, 7), (40, 30)),
        ((1, 1), (5, 6)),
        ((240, 427), (224, 398)),
        ((5, 5), (5, 5)),
    ],
)
def test_bilinear_is_pytorchs(old: tuple[int, int], new: tuple[int, int]) -> None:
    image = noise(3, *old)
    values = torch.from_numpy(image).to(torch.float32) / 255.0
    wanted = torch.nn.functional.interpolate(
        values[None], size=new, mode="bilinear", align_corners=False
    )
    made = bilinear(image, *new, (0, 0, new[1], new[0]))
    np.testing.assert_allclose(made, wanted[0].numpy(), atol=ROUNDING)


def imagebinds_way(frame: Bytes) -> NDArray[np.float32]:
    """Return the three cuts of one frame: scaled as [colours, 1, rows, columns], then cut."""
    values = torch.from_numpy(frame).to(torch.float32)[:, None] / 255.0
    height, width = frame.shape[1:]
    if width < height:
        size = math.floor((float(height) / width) * 224), 224
    else:
        size = 224, math.floor((float(width) / height) * 224)
    scaled = torch.nn.functional.interpolate(
        values, size=size, mode="bilinear", align_corners=False
    )
    rest = max(size) - 224
    made = []
    for offset in (0, math.ceil(rest / 2), rest):
        row, column = (offset, 0) if size[0] > size[1] else (0, offset)
        made.append(normal(scaled[:, 0, row : row + 224, column : column + 224]).numpy())
    return np.stack(made)


@pytest.mark.parametrize("shape", [(240, 427), (427, 240), (100, 100), (480, 641), (64, 48)])
def test_clips_are_imagebinds(shape: tuple[int, int]) -> None:
    frames = noise(5, 3, *shape)
    made = read_clips(CLIPS, frames, lambda _: []).arrays["frames"][0]
    wanted = np.concatenate([imagebinds_way(frame) for frame in frames])
    np.testing.assert_allclose(made, wanted, atol=ROUNDING / min(STD))
