"""What `edgespark run` shows to people."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgespark.runtime.stats import Stats
from edgespark.runtime.wording import printable

BARS = 5  # the most probable classes are drawn
WIDTH = 30  # characters of a probability of 1


def times(stats: Sequence[Stats]) -> dict[str, float]:
    """Return what each stage took in all of the calls, in milliseconds."""
    total: dict[str, float] = {}
    for each in stats:
        for name, ms in each.stages.items():
            total[name] = total.get(name, 0.0) + ms
    return total


def paragraphs(results: Mapping[str, Any], stats: Sequence[Stats], unit: str) -> list[str]:
    """Return the times of the stages, then each result by its JSON key, the answer last."""
    made = [DRAW[key](results[key], unit) for key in reversed(list(results))]  # the answer last
    stages: dict[str, float] = {}
    for name, ms in times(stats).items():
        shown = "load" if name.startswith("load.") else name
        stages[shown] = stages.get(shown, 0.0) + ms
    width = max(map(len, stages))
    lines = [f"  {name:{width}}  {ms:9.2f} ms" for name, ms in stages.items()]
    lines.append(f"  {'total':{width}}  {sum(stages.values()):9.2f} ms")
    return ["\n".join([f"{_setting(stats[-1])}:", *lines]), *made]


def _setting(stats: Stats) -> str:
    """Return on what it ran, and what is not as the bundle's own graphs say."""
    wide = ", computed in float32" if stats.widened else ""
    lowered = f", graphs derived for {', '.join(stats.lowered)}" if stats.lowered else ""
    return f"{stats.precision} on {stats.device}{wide}{lowered}"


def _bars(scores: Mapping[str, float], _: str) -> str:
    top = list(scores.items())[:BARS]
    width = max(len(label) for label, _ in top)
    lines = (f"  {label:{width}}  {p:.3f}  {'#' * round(p * WIDTH)}" for label, p in top)
    return "\n".join(printable(line.rstrip()) for line in lines)


def _answer(text: str, _: str) -> str:
    return printable(text, keep="\n") or "(no answer)"


def _numbers(values: Sequence[Any], unit: str) -> str:
    """Draw numbers, a line for each row of the last axis, to four digits behind the point."""
    array = np.asarray(values)
    rows = array.reshape(-1, array.shape[-1])
    text = np.array2string(
        rows,
        precision=4,
        suppress_small=bool(np.abs(rows).max() >= 1),
        threshold=sys.maxsize,
        max_line_width=sys.maxsize,
    )
    lines = text.replace("[", " ").replace("]", "").splitlines()
    title = printable(f"prediction in {unit}:" if unit else "prediction:")
    return "\n".join([title, *(line.rstrip() for line in lines)])


def _size(rows: Sequence[Sequence[float]], _: str) -> str:
    return f"embedding of {len(rows)} tokens, {len(rows[0])} wide; --json gives the numbers"


DRAW: dict[str, Callable[[Any, str], str]] = {
    "answer": _answer,
    "scores": _bars,
    "prediction": _numbers,
    "embedding": _size,
}
