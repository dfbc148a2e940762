"""Whether a calibration set is one for a bundle, judged before any sample is read."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from edgespark.calibration.set_manifest import NAME, Items, Modality, told
from edgespark.calibration.set_reader import CalibrationSet
from edgespark.calibration.set_rows import labels
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Head, Route
from edgespark.runtime.preprocessing import Text

Columns = dict[str, Any]


def check_fit(made: CalibrationSet, routes: Iterable[Route]) -> None:
    """Refuse a set that the routes of a bundle cannot take; InputError that names every problem.

    Labels and targets that a head cannot give; rows of text for anything but text, which could name
    files: they would be read on this machine. Modalities that the bundle lacks are not judged.
    """
    by_name = {route.modality: route for route in routes}
    problems = []
    for name, modality in made.manifest.modalities.items():
        if name in by_name:
            found = _problems(modality, dict(made.rows(name)), by_name[name])
            problems += [f"$.modalities.{name}: {problem}" for problem in found]
    if problems:
        raise InputError(told(str(made.root / NAME), problems))


def _problems(modality: Modality, rows: Columns, route: Route) -> Iterator[str]:
    if rows:
        yield from _text(rows, route)
    if route.head is not None:
        yield from TRUTHS[route.head.task](modality, rows, route.head)


def _text(rows: Columns, route: Route) -> Iterator[str]:
    given = rows["input"]
    is_text = given.dtype.kind == "U" and given.ndim == 1
    if is_text != isinstance(route.preprocessing, Text):
        what = "text" if is_text else f"{given.dtype} {list(given.shape)}"
        yield f"input.npy holds {what}; the bundle takes {type(route.preprocessing).__name__}"


def _labels(modality: Modality, rows: Columns, head: Head) -> Iterator[str]:
    items = modality.items if isinstance(modality, Items) else ()
    own = (item.label for item in items if item.label is not None)
    parts = labels(rows["label"]) if "label" in rows else ()
    most = max(chain(own, (int(part.max()) for part in parts)), default=0)
    if most >= len(head.labels):
        yield f"label {most} is no index of the {len(head.labels)} labels that its head has"


def _targets(_: Modality, rows: Columns, head: Head) -> Iterator[str]:
    shape = rows["target"].shape[1:] if "target" in rows else head.shape
    if shape != head.shape:
        yield f"targets have shape {list(shape)}; its head gives {list(head.shape)}"


TRUTHS: dict[str, Callable[[Modality, Columns, Any], Iterator[str]]] = {
    "classification": _labels,
    "regression": _targets,
}
