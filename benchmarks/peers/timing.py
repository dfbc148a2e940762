"""How one form of a network is timed, in a process of its own that does nothing else.

    python -m benchmarks.peers.MODULE FORM FOLDER DEPTH THREADS PATIENCE

Timed: whole calls with one picture, input and output in memory. Not timed: the start, loading,
compiling, and the first calls. Calls are timed in batches; a batch during which other processes had
more than a little of the cores (/proc/stat, Linux only) is thrown away and repeated. The last line
is one JSON document. Needs numpy alone: every peer's environment has it.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

WARM, BATCH = 3, 5  # calls
SHORTEST = 1.5  # seconds of a batch: the kernel counts in hundredths
BUSY = 0.03  # of all cores: what other processes may take while a batch runs
PATIENCE, PAUSE = 90.0, 0.5  # seconds; at most so long is a quiet moment waited for
USED = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, stolen

Run = Callable[[], NDArray[np.float32]]
Made = TypeVar("Made")


class Absent(Exception):
    """Tells why a form cannot be had here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a form is made of: the folder of graphs, layers, threads and the picture."""

    folder: Path
    depth: int
    threads: int
    picture: NDArray[np.float32]


def work(forms: Mapping[str, Callable[[Job], Run]], packages: tuple[str, ...]) -> None:
    """Make the form that the command line names, time it, keep what it gives, and print all."""
    form, folder, depth, threads, patience = sys.argv[1:]
    job = Job(
        folder=Path(folder),
        depth=int(depth),
        threads=int(threads),
        picture=np.load(Path(folder) / "timed.npy"),
    )
    try:
        run = forms[form](job)
        np.save(job.folder / f"{form}.npy", np.asarray(run(), np.float32))
        told = measured(run, Guard(patience=float(patience)))
    except Absent as reason:
        told = {"absent": str(reason)}
    print(json.dumps(told | {"versions": {name: version(name) for name in packages}}))


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """How calls are timed: so many to warm up, so many at least in a batch, so long a patience.

    `prepare` is done before each call and is not timed. Without patience the first batch counts,
    whatever others took meanwhile.
    """

    warm: int = WARM
    least: int = BATCH
    patience: float = PATIENCE
    prepare: Callable[[], None] = nothing


USUAL = Guard()


def measured(run: Callable[[], object], guard: Guard = USUAL) -> dict[str, Any]:
    """Time calls: the median in ms of the first batch that was undisturbed, None if none was.

    `others` is the share of all cores that other processes had during that batch.
    """
    for _ in range(guard.warm):
        guard.prepare()
        run()
    thrown, end = 0, time.monotonic() + guard.patience
    while True:
        taken, others = batch(run, guard)
        if others <= BUSY or not guard.patience:
            return {"ms": statistics.median(taken), "thrown": thrown, "others": round(others, 3)}
        thrown += 1
        if time.monotonic() >= end:
            return {"ms": None, "thrown": thrown, "others": round(others, 3)}
        time.sleep(PAUSE)


def batch(run: Callable[[], object], guard: Guard) -> tuple[list[float], float]:
    """Time calls one by one, in ms; and tell what share of all cores others had meanwhile."""

    def calls() -> list[float]:
        taken: list[float] = []
        start = time.perf_counter()
        while len(taken) < guard.least or time.perf_counter() - start < SHORTEST:
            guard.prepare()
            before = time.perf_counter()
            run()
            taken.append((time.perf_counter() - before) * 1e3)
        return taken

    return watched(calls)


def watched(run: Callable[[], Made]) -> tuple[Made, float]:
    """Run, and tell what share of all cores other processes had meanwhile."""
    used, own, start = _used(), time.process_time(), time.perf_counter()
    made = run()
    others = _used() - used - (time.process_time() - own)
    return made, others / (time.perf_counter() - start) / (os.cpu_count() or 1)


def _used() -> float:
    """Count the seconds that all cores together have worked, for whomever."""
    with Path("/proc/stat").open() as file:
        fields = file.readline().split()[1:]
    return sum(int(fields[place]) for place in USED) / os.sysconf("SC_CLK_TCK")
