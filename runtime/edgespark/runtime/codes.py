"""States that are kept as int8 codes: a state's value is its code times the state's step."""

from collections.abc import Iterable, Mapping
from math import isfinite

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.manifest import State

MOST = 127
"""The greatest code that values are given; a graph may also give -128, what saturates in ONNX."""
LEAST, LARGEST = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))


def is_step(step: float) -> bool:
    """Tell whether codes can be of that step: a normal float32 above zero."""
    return isfinite(step) and LEAST <= step <= LARGEST


def coded(arrays: Mapping[str, Array], states: Iterable[State]) -> dict[str, Array]:
    """Return the arrays, each past of a state with a step as int8 codes.

    A code is the nearest whole number of steps, cut off at ±127. The pasts are floats, and finite.
    """
    steps = {each.past.name: each.step for each in states if each.step is not None}
    return {
        name: _codes(array, steps[name]) if name in steps else array
        for name, array in arrays.items()
    }


def decoded(arrays: Mapping[str, Array], states: Iterable[State]) -> dict[str, Array]:
    """Return the arrays, the new rows of each state with a step as the float64 they stand for."""
    steps = {each.new.name: each.step for each in states if each.step is not None}
    return {
        name: array * np.float64(steps[name]) if name in steps else array
        for name, array in arrays.items()
    }


def _codes(array: Array, step: float) -> Array:
    return np.clip(np.rint(array / np.float64(step)), -MOST, MOST).astype(np.int8)
