"""Forecasts that need no model, which a model must beat."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.generic]
Forecast = Callable[[Floats, int], Floats]


def constant_velocity(tracks: Floats, predicted: int) -> Floats:
    """Go on as in the last step: tracks [n, agents, observed, 2] to [n, predicted, 2]."""
    own = np.asarray(tracks[:, 0], np.float64)
    steps = np.arange(1, predicted + 1)[None, :, None]
    return own[:, -1:] + steps * (own[:, -1:] - own[:, -2:-1])


def last_position(tracks: Floats, predicted: int) -> Floats:
    """Stay where the agent was last: tracks as above."""
    return np.repeat(np.asarray(tracks[:, 0, -1:], np.float64), predicted, 1)


def last_value(series: Floats, predicted: int) -> Floats:
    """Stay at the last value: series [n, steps, nodes, 3] to [n, predicted, nodes]."""
    return np.repeat(np.asarray(series[:, -1:, :, 0], np.float64), predicted, 1)


def constant_slope(series: Floats, predicted: int) -> Floats:
    """Go on along the line through the first and the last value: series as above."""
    values = np.asarray(series[..., 0], np.float64)
    slope = (values[:, -1:] - values[:, :1]) / (values.shape[1] - 1)
    ahead: Floats = values[:, -1:] + np.arange(1, predicted + 1)[None, :, None] * slope
    return ahead


BASELINES: dict[str, dict[str, Forecast]] = {
    "trajectory": {"constant velocity": constant_velocity, "last position": last_position},
    "graph": {"last value": last_value, "constant slope": constant_slope},
}
