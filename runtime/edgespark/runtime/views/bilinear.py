"""Bilinear resizing without antialiasing, as torch.nn.functional.interpolate does it by default."""

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.grid import Window
from edgespark.runtime.views.bicubic import Bytes

HALF, ONE = np.float32(0.5), np.float32(1)


def bilinear(image: Bytes, rows: int, columns: int, window: Window) -> NDArray[np.float32]:
    """Return a window of the image [bands, rows, columns] in that size: v / 255, float32.

    Positions are float32 too, rounded once, as PyTorch has them (align_corners=False) on processors
    that multiply and add in one step. Only samples that the window takes are converted.
    """
    column, row, width, height = window
    top, bottom, down = _neighbours(image.shape[1], rows, row, row + height)
    left, right, across = _neighbours(image.shape[2], columns, column, column + width)
    above, below = (
        _between(_unit(image, each, left), _unit(image, each, right), across)
        for each in (top, bottom)
    )
    return _between(above, below, down[:, None])


def _neighbours(
    samples: int, cells: int, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the samples before and behind the middle of each cell, and how near the second is."""
    scale = np.float64(np.float32(samples) / np.float32(cells))
    middle = np.arange(start, stop).astype(np.float32) + HALF
    place = np.maximum(scale * middle - 0.5, 0).astype(np.float32)  # rounded once
    first = np.minimum(place.astype(np.int64), samples - 1)
    share: NDArray[np.float32] = np.clip(place - first.astype(np.float32), 0, ONE)
    return first, np.minimum(first + 1, samples - 1), share


def _unit(image: Bytes, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    picked = image[:, rows[:, None], columns].astype(np.float32)
    picked /= np.float32(255)
    return picked


def _between(
    first: NDArray[np.float32], second: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = (ONE - share) * first + share * second
    return mixed
