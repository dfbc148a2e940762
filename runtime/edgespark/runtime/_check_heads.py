"""Checks of the task heads: what each gives, and what that is told relative to."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from math import prod

import numpy as np

from edgespark.runtime._check_parts import has_role, twice
from edgespark.runtime.manifest import Axis, Head, Manifest, Route
from edgespark.runtime.ports import spanned
from edgespark.runtime.preprocessing import Preprocessing, Series, Tracks

PLANE = 2
LARGEST = float(np.finfo(np.float32).max)
"""A scale beyond it could take float32 scores out of float64."""
ANCHORS: dict[type[Preprocessing], Callable[..., tuple[int, ...]]] = {
    Tracks: lambda record: (record.predicted, PLANE),
    Series: lambda record: (record.predicted, len(record.nodes)),
}
"""The shape of the anchor that a kind of preprocessing gives."""


def problems(manifest: Manifest) -> Iterator[str]:
    """Give what keeps the heads from answering as the manifest says, each with its JSON path."""
    for i, route in enumerate(manifest.routes):
        if route.head is not None:
            at = f"$.routes[{i}].head"
            yield from has_role(f"{at}.part", route.head.part, "head", manifest)
            axis = _axis(manifest, route.head)
            outputs = axis.high if axis is not None and axis.static else None
            if axis is not None and not outputs:
                gives = f"{spanned(axis)} scores on axis {axis.name!r}"
                yield f"{at}.part: gives {gives}; expected one number of them, at least 1"
            yield from TASKS[route.head.task](at, route, route.head, outputs)


def _axis(manifest: Manifest, head: Head) -> Axis | None:
    """Return the axis of what the head's part scores; None where that cannot be told."""
    ports = [port for part in manifest.parts if part.name == head.part for port in part.outputs]
    axes = [port.axes[-1] for port in ports if port.name == "scores" and port.axes]
    return axes[0] if axes else None


def _classification(at: str, _: Route, head: Head, outputs: int | None) -> Iterator[str]:
    yield from twice(f"{at}.labels", head.labels)
    if not head.labels or not all(label.strip() for label in head.labels):
        yield f"{at}.labels: a classification needs labels, none of them blank"
    if outputs is not None and outputs != len(head.labels):
        yield f"{at}.labels: {len(head.labels)} labels, but the part scores {outputs} classes"
    for field in fields(head):
        given = field.default is not MISSING and getattr(head, field.name) != field.default
        if given and field.name != "labels":
            yield f"{at}.{field.name}: a classification has none"


def _regression(at: str, route: Route, head: Head, outputs: int | None) -> Iterator[str]:
    if head.labels:
        yield f"{at}.labels: a regression has none, got {len(head.labels)}"
    if head.shape and (min(head.shape) < 1 or outputs not in (None, prod(head.shape))):
        has = "what the part scores" if outputs is None else f"the part's {outputs} values"
        yield f"{at}.shape: {list(head.shape)} does not hold {has}"
    if not 0 < abs(head.scale) <= LARGEST:
        yield f"{at}.scale: must be a float32 other than 0, got {head.scale}"
    yield from twice(f"{at}.metrics", head.metrics)
    if head.shape[1:] != (PLANE,) and {"ADE", "FDE"} & set(head.metrics):
        yield f"{at}.metrics: ADE and FDE need the shape [steps, 2], got {list(head.shape)}"
    kind = type(route.preprocessing)
    anchor = ANCHORS[kind](route.preprocessing) if kind in ANCHORS else None
    if head.anchored and anchor != head.shape:
        gives = f"one of shape {list(anchor)}" if anchor else "none"
        yield f"{at}.anchored: needs an anchor of shape {list(head.shape)}, the input has {gives}"


TASKS: dict[str, Callable[[str, Route, Head, int | None], Iterator[str]]] = {
    "classification": _classification,
    "regression": _regression,
}
