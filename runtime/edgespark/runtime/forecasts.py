"""What is made of the scores of a regression head: values in the task's unit."""

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Head


def forecast(head: Head, scores: Array, anchor: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return anchor + scale * scores, float64 in the head's shape ([outputs] where it has none).

    `scores` are the head's outputs, [outputs]; `anchor` is the prepared input's, in the head's
    shape, where the head is anchored. InputError where such an anchor is missing: what was prepared
    was changed, or was prepared for another modality.
    """
    values: NDArray[np.float64] = head.scale * scores.astype(np.float64)
    values = values.reshape(head.shape or -1)
    return values + _checked(anchor, values.shape) if head.anchored else values


def _checked(anchor: NDArray[np.float64] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if anchor is None or anchor.shape != shape:
        has = "no anchor" if anchor is None else f"an anchor of shape {list(anchor.shape)}"
        raise InputError(
            f"the prepared input has {has}; the forecast is told relative to one of shape "
            f"{list(shape)}: give what `prepare` gave for this modality, unchanged"
        )
    return anchor
