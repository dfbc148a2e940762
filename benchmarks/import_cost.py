"""What importing the runtime adds to importing what it stands on, numpy and onnxruntime.

Two ways: `import edgespark.runtime`, whose names come when they are used, and
`from edgespark.runtime import load`, with all that a first call needs but the libraries.

    python benchmarks/import_cost.py

Timed: the import statements alone, in processes of their own, with bytecode written beforehand. Not
timed: the interpreter's start. Rounds of all sides alternate; a round during which other
processes kept the cores busy is thrown away. The last line is one JSON document.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

BASE = "import numpy, onnxruntime"
IMPORT = "import edgespark.runtime"
LOAD = "from edgespark.runtime import load"
CODE = "from time import perf_counter as now; {0}; t = now(); {1}; print((now() - t) * 1e3)"
SIDES = {"base": ("pass", BASE), "import": (BASE, IMPORT), "load": (BASE, LOAD)}
ROUNDS, TRIES = 15, 60
BUSY = 0.75  # runnable processes per core, ours among them, above which a round does not count


def milliseconds(side: str, cache: str) -> float:
    """Run one side in a fresh process, in ms."""
    code = CODE.format(*SIDES[side])
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)  # noqa: S603 our own code
    return float(done.stdout)


def undisturbed() -> bool:
    """Tell whether few enough processes run now."""
    running = int(open("/proc/loadavg").read().split()[3].split("/")[0])  # noqa: PTH123, SIM115 one read
    return running <= max(1, BUSY * (os.cpu_count() or 1))


def main() -> None:
    """Measure, and print medians, quartiles and the ratio."""
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as cache:
        for side in SIDES:
            milliseconds(side, cache)
        for _ in range(TRIES):
            if len(taken["base"]) == ROUNDS:
                break
            before = undisturbed()
            found = {side: milliseconds(side, cache) for side in SIDES}
            if before and undisturbed():
                for side, ms in found.items():
                    taken[side].append(ms)
    rounds = len(taken["base"])
    if rounds < ROUNDS:
        sys.exit(f"only {rounds} of {ROUNDS} rounds were undisturbed; try again later")
    quartiles = {side: statistics.quantiles(ms, n=4) for side, ms in taken.items()}
    for side, (low, middle, high) in quartiles.items():
        print(f"{side:6} {middle:7.1f} ms  (quartiles {low:.1f} to {high:.1f})")
    report = {
        "python": platform.python_version(),
        "rounds": rounds,
        "median_ms": {side: round(each[1], 1) for side, each in quartiles.items()},
        "ratios": {
            side: round(quartiles[side][1] / quartiles["base"][1], 3) for side in ("import", "load")
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
