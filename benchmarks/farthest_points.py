"""Farthest-point sampling of 8192 points to 1024, against the plain numpy loop.

    python benchmarks/farthest_points.py

Timed: `farthest` with pointnet2_ops' rules, and the loop that its definition suggests, on the same
float32 points in memory, in one process and thread; wall clock, and the process's own CPU time,
which other processes disturb less. Not timed: imports, and making the points. Both must pick the
same points. Rounds alternate, after one of each to warm up. The load before and after says what
else ran. The last line is one JSON document.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.points.farthest import Floats, farthest

POINTS, PICKS, ROUNDS = 8192, 1024, 15


def loop(points: Floats) -> NDArray[np.int64]:
    """Pick in the plain way; ties aside, and far from the origin, the same points."""
    picked = np.zeros(PICKS, np.int64)
    least = np.full(len(points), 1e10, np.float32)
    for step in range(1, PICKS):
        least = np.minimum(least, ((points - points[picked[step - 1]]) ** 2).sum(1))
        picked[step] = least.argmax()
    return picked


SIDES: dict[str, Callable[[Floats], NDArray[np.int64]]] = {
    "loop": loop,
    "farthest": lambda points: farthest(points, PICKS),
}


def milliseconds(side: str, points: Floats) -> tuple[float, float]:
    """Run one side once: wall clock and CPU time, in ms."""
    wall, own = time.perf_counter(), time.process_time()
    SIDES[side](points)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - own) * 1e3


def main() -> None:
    """Measure, and print medians, quartiles and the ratio."""
    points = np.random.default_rng(0).normal(size=(POINTS, 3)).astype(np.float32)
    points += np.float32(8)  # nothing near the origin, which the loop does not skip
    if not np.array_equal(loop(points), farthest(points, PICKS)):
        raise SystemExit("the two pick other points")
    before = os.getloadavg()[0]
    rounds = [{side: milliseconds(side, points) for side in SIDES} for _ in range(ROUNDS)]
    after = os.getloadavg()[0]
    report: dict[str, object] = {
        "points": POINTS,
        "picks": PICKS,
        "rounds": ROUNDS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "load": [round(before, 1), round(after, 1)],
    }
    for place, clock in enumerate(("wall", "cpu")):
        for side in SIDES:
            taken = [each[side][place] for each in rounds]
            low, middle, high = statistics.quantiles(taken, n=4)
            print(f"{side:9} {clock:4} {middle:8.1f} ms  (quartiles {low:.1f} to {high:.1f})")
            report[f"{side}_{clock}_ms"] = [round(each, 1) for each in (low, middle, high)]
        ratios = [each["loop"][place] / each["farthest"][place] for each in rounds]
        report[f"ratio_{clock}"] = round(statistics.median(ratios), 1)
    print(f"load {before:.1f} before, {after:.1f} after, on {os.cpu_count()} cores")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
