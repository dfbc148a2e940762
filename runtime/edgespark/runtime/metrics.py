"""How far a forecast is from what came: the metrics of one sample, each in the forecast's unit."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.manifest import Metric

Judge: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]


def average_displacement(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the mean Euclidean distance of positions [steps, 2] over all steps."""
    return float(_distances(prediction, target).mean())


def final_displacement(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the Euclidean distance of positions [steps, 2] at the last step."""
    return float(_distances(prediction, target)[-1])


def mean_absolute_error(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the mean absolute difference of arrays of one shape."""
    return float(np.abs(_difference(prediction, target)).mean())


METRICS: dict[Metric, Judge] = {
    "ADE": average_displacement,
    "FDE": final_displacement,
    "MAE": mean_absolute_error,
}
"""Each takes a prediction and a target of one shape (ValueError otherwise); less is better."""


def forecast_tasks(metrics: Iterable[str]) -> tuple[str, ...]:
    """Name the scores of a forecast: `forecast` by its first metric, `forecast_fde` by another."""
    return tuple(f"forecast_{name.lower()}" if i else "forecast" for i, name in enumerate(metrics))


def _distances(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.linalg.norm(_difference(prediction, target), axis=-1)
    return distances


def _difference(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    if np.shape(prediction) != np.shape(target):
        raise ValueError(f"a forecast {np.shape(prediction)} is no {np.shape(target)}")
    difference: NDArray[np.float64] = np.subtract(prediction, target, dtype=np.float64)
    return difference
