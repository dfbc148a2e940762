"""Exports that are killed at many moments; run as a process of its own, as it forks."""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

from edgespark.export.pack import pack
from edgespark.runtime import _decode
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Manifest
from tests.runtime import bundles

SPREAD = 10  # moments spread over the whole export
LAST = range(60, 0, -1)  # moments before its end, where it publishes and removes
RACERS, LAPS = 3, 15


mock.patch("os.fsync").start()  # a kill loses nothing that the kernel has; a power cut would


def survive(out: str, replace: bool) -> None:  # noqa: FBT001 called from a command line
    """Kill exports at many moments, and print how often each state was found afterwards."""
    place = Path(out)
    export(place, "old")
    total = moments(place)
    chosen = sorted({*range(1, total, max(1, total // SPREAD)), *(total - each for each in LAST)})
    found: Counter[str] = Counter()
    for moment in chosen:
        if not replace:
            place.rename(place.with_name(f"before-{moment}"))
        kill(place, moment)
        found[state(place)] += 1
        export(place, "old")
        assert state(place) == "old"
        left = [each for each in place.parent.iterdir() if ".draft-" in each.name]
        assert left == [], f"after a kill at moment {moment} of {total}: {left}"
    sys.stdout.write(json.dumps(found))


def race(out: str) -> None:
    """Let processes export to one place at once; each must succeed, and find a whole bundle."""
    children = []
    for racer in range(RACERS):
        child = os.fork()
        if child == 0:
            for _ in range(LAPS):
                export(Path(out), f"racer {racer}")
                assert state(Path(out)).startswith("racer")
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    assert failed == []


def export(place: Path, name: str) -> None:
    manifest, problems = _decode.decode(Manifest, bundles.manifest() | {"name": name})
    assert manifest is not None, problems
    with pack(place, replace=True) as draft:
        for path, content in bundles.contents().items():
            draft.add(path, content)
        draft.finish(manifest)


def state(place: Path) -> str:
    """Return the name of the whole bundle there, or "nothing"; anything else raises."""
    if not os.path.lexists(place):
        return "nothing"
    bundle = Bundle.open(place)
    assert bundle.problems() == []
    return bundle.manifest.name


def moments(place: Path) -> int:
    """Count the moments of one export: each time it opens, makes, locks or removes something."""
    read, write = os.pipe()
    if os.fork() == 0:
        seen = Counter[str]()
        sys.addaudithook(lambda event, _: seen.update([event]))
        export(place, "old")
        os.write(write, str(seen.total()).encode())
        os._exit(0)
    os.close(write)  # else a child that fails would leave us reading for ever
    os.wait()
    return int(os.read(read, 100))


def kill(place: Path, moment: int) -> None:
    """Export in a child process that is killed, as by a power cut, at that moment."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def strike(_event: str, _details: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(strike)
        export(place, "new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
