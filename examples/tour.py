"""Ask a bundle about the example file of each of its modalities, and say what is true.

    python examples/tour.py BUNDLE

The files and truth.json are those that examples/make_scenes.py wrote: one held-out sample of the
synthetic world. A forecast is drawn beside what came.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime import EdgesparkError, Prepared, SeriesFile, Spark, TrackFile, load
from edgespark.runtime.manifest import Head, Route
from edgespark.runtime.metrics import METRICS
from edgespark.runtime.preprocessing import Series

HERE = Path(__file__).parent
INPUTS: dict[str, tuple[str, object]] = {
    "rgb": ("scene-rgb.tif", HERE / "scene-rgb.tif"),
    "msi": ("scene-msi.tif", HERE / "scene-msi.tif"),
    "sar": ("scene-sar.tif", HERE / "scene-sar.tif"),
    "hsi": ("scene-hsi.tif", HERE / "scene-hsi.tif"),
    "infrared": ("scene-infrared.tif", HERE / "scene-infrared.tif"),
    "oblique": ("scene-oblique.jpg", HERE / "scene-oblique.jpg"),
    "video": ("scene-video.mp4", HERE / "scene-video.mp4"),
    "point_cloud": ("scene-points.laz", HERE / "scene-points.laz"),
    "table": ("scene-plots.csv", HERE / "scene-plots.csv"),
    "language": ("scene.txt", HERE / "scene.txt"),
    "code": ("program.py", HERE / "program.py"),
    "trajectory": ("walk.csv?agent=1", TrackFile(HERE / "walk.csv", agent=1)),
    "graph": (
        "traffic.csv?graph=…",
        SeriesFile(HERE / "traffic.csv", graph=HERE / "roads.graphml"),
    ),
}
TOGETHER = ("rgb", "sar", "table")
WIDTHS = (34, 34, 5)  # characters: modality and file, answer, right or wrong
HEIGHT = 14  # lines of a map
LEVELS = "▁▂▃▄▅▆▇█"
Doubles: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = dict[str, Any]


def main(bundle: str) -> None:
    """Print a table for each question, with a picture of each forecast."""
    started = time.monotonic()
    spark = load(bundle)
    truths: dict[str, Truth] = json.loads((HERE / "truth.json").read_text("utf-8"))
    marks: list[bool] = []
    for question, names in questions(spark).items():
        say(f"{question}   (truth: {truths[names[0]]['answer']})")
        for name in names:
            marks += asked(spark, question, (name,), truths)
        if set(TOGETHER) <= set(names):
            marks += asked(spark, question, TOGETHER, truths)
        say()
    seconds = time.monotonic() - started
    say(f"{sum(marks)} of {len(marks)} answers are right; {seconds:.1f} s with loading")


def questions(spark: Spark) -> dict[str, list[str]]:
    """Give the bundle's modalities that have an example, by the question that is asked of them."""
    found: dict[str, list[str]] = {}
    for name in INPUTS:
        for route in spark.manifest.routes:
            if route.modality == name:
                question = route.question or spark.manifest.language.question
                found.setdefault(question, []).append(name)
    return found


def asked(
    spark: Spark, question: str, names: Sequence[str], truths: dict[str, Truth]
) -> Iterator[bool]:
    """Ask about one example or several, print a row and perhaps a picture, yield if it is right."""
    given: dict[str, Any] = {**spark.prepare(**{name: INPUTS[name][1] for name in names})}
    answer = " ".join(spark.generate(question, **given).split())
    truth, route = truths[names[0]], spark.manifest.route(names[0])
    right = answer == truth["answer"]
    file = f"  {INPUTS[names[0]][0]}" if len(names) == 1 else ""
    cells = (f"{' + '.join(names):13}{file}", answer[: WIDTHS[1]], "right" if right else "WRONG")
    shown = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    told, picture = TASKS[route.head.task if route.head else None](spark, route, given, truth)
    say(f"  {shown}  {told}")
    for line in picture:
        say(f"      {line}")
    yield right


def classified(spark: Spark, _: Route, given: Any, __: Truth) -> tuple[str, list[str]]:  # noqa: ANN401 modalities by name
    """Tell the most probable class."""
    label, share = next(iter(spark.classify(**given).items()))
    return f"{label} {share:.3f}", []


def forecast(spark: Spark, route: Route, given: Any, truth: Truth) -> tuple[str, list[str]]:  # noqa: ANN401 modalities by name
    """Draw the forecast, and tell how far it is off beside the plainest one there is."""
    head, ready = cast("Head", route.head), cast("Prepared", given[route.modality])
    told, came = spark.predict(**given), np.array(truth["target"])
    plain, draw = FORECASTS[route.modality]
    anchor = cast("Doubles", ready.anchor)  # the plain forecast, which the head's is relative to
    errors = f"{off(head, told, came)} ({plain}: {off(head, anchor, came)})"
    return "", [errors, *draw(route, ready, told, came)]


def off(head: Head, told: Doubles, came: Doubles) -> str:
    """Tell how far a forecast is from what came, by the head's metrics."""
    each = (f"{name} {METRICS[name](told, came):.3g} {head.unit}" for name in head.metrics)
    return ", ".join(each)


def nothing(*_: object) -> tuple[str, list[str]]:
    """Tell nothing, where there is no head."""
    return "", []


def on_map(_: Route, ready: Prepared, told: Doubles, came: Doubles) -> Iterator[str]:
    """Draw where an agent was, where it should go, and where it went; north is up."""
    anchor = cast("Doubles", ready.anchor)
    now = 2 * anchor[0] - anchor[1]  # it goes on from there in even steps
    layers = {"·": now + ready.arrays["track"][0], "o": came, "x": told}
    every = np.concatenate(list(layers.values()))
    west, north = every[:, 0].min(), every[:, 1].max()
    metres = max(float(np.ptp(every[:, 1])) / (HEIGHT - 1), float(np.ptp(every[:, 0])) / 60, 0.05)
    cells: dict[tuple[int, int], str] = {}
    for sign, places in layers.items():
        for x, y in places:
            # a character is about twice as high as wide
            cell = round((north - y) / metres), round((x - west) / metres * 2)
            cells[cell] = "⊗" if {sign, cells.get(cell)} == {"x", "o"} else sign
    yield f"· was there   x forecast   o went there   ⊗ both   (a line is {metres:.2g} m)"
    for row in range(max(row for row, _ in cells) + 1):
        columns = [column for line, column in cells if line == row]
        yield "".join(cells.get((row, each), " ") for each in range(max(columns, default=-1) + 1))


def as_lines(route: Route, ready: Prepared, told: Doubles, came: Doubles) -> Iterator[str]:
    """Draw each node's series as bars from zero up: what was, the forecast, and what came."""
    record = cast("Series", route.preprocessing)
    past = ready.arrays["series"][0, :, :, 0] * record.std + record.mean
    yield f"{'':15}{'the hour before':17}{'forecast':14}{'what came':14}off by"
    for node, name in enumerate(record.nodes):
        series = past[:, node], told[:, node], came[:, node]
        most = max(each.max() for each in series)
        drawn = [bars(each / most) for each in series]
        error = np.abs(told[:, node] - came[:, node]).mean()
        yield f"{name:15}{drawn[0]}     {drawn[1]}  {drawn[2]}  {error:6.0f}"


def bars(shares: Doubles) -> str:
    """Draw shares, 0…1, as a bar each."""
    steps = np.clip(shares * len(LEVELS), 0, len(LEVELS) - 1).astype(int)
    return "".join(LEVELS[step] for step in steps)


def say(line: str = "") -> None:
    """Print a line now: what follows may take a while."""
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


Draw: TypeAlias = Callable[[Route, Prepared, Doubles, Doubles], Iterator[str]]
TASKS: dict[str | None, Callable[..., tuple[str, list[str]]]] = {
    "classification": classified,
    "regression": forecast,
    None: nothing,
}
FORECASTS: dict[str, tuple[str, Draw]] = {
    "trajectory": ("constant velocity", on_map),
    "graph": ("last value", as_lines),
}

if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 the script and BUNDLE
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except EdgesparkError as error:
        sys.exit(f"error: {error}")
