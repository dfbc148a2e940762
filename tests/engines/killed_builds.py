"""Builds that are killed at many moments; run as a process of its own, as it forks."""

import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import check_files, find
from tests.engines.derivable import CPU, built, derivable

SPREAD = 12  # moments spread over the whole build
LAST = range(40, 0, -2)  # moments before its end, where it publishes

mock.patch("os.fsync").start()  # a kill loses nothing that the kernel has; a power cut would


def survive(root: Path) -> None:
    """Kill builds at many moments; print how often each state was found afterwards."""
    derivable(root)
    total = moments(root)
    chosen = {*range(1, total, max(1, total // SPREAD)), *(total - each for each in LAST)}
    found: Counter[str] = Counter()
    for moment in sorted(chosen):
        shutil.rmtree(root / "derived", ignore_errors=True)
        kill(root, moment)
        found[state(root)] += 1
        again(root)
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in sorted(found.items())))


def state(root: Path) -> str:
    """Say what `load` would find; anything that is broken raises."""
    bundle = Bundle.open(root)
    part = bundle.manifest.part("encoder_rgb")
    made = find(bundle, part, part.graphs[1], CPU.lowering)
    if made is None:
        return "nothing"
    check_files(made)
    return "whole"


def again(root: Path) -> None:
    """Build once more, in a process of its own; nothing half written is left."""
    if (child := os.fork()) == 0:
        before = state(root)
        done = built(Bundle.open(root))["encoder_rgb int8"].state
        assert done == {"nothing": "made", "whole": "kept"}[before]
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert state(root) == "whole"
    assert sorted(each.name for each in (root / "derived").glob(".*")) == [".lock"]


def moments(root: Path) -> int:
    """Count the moments of one build: each time it opens, makes, locks or removes something."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        seen = Counter[str]()
        sys.addaudithook(lambda event, _: seen.update([event]))
        built(Bundle.open(root))
        os.write(write, str(seen.total()).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    return int(os.read(read, 100))


def kill(root: Path, moment: int) -> None:
    """Build in a child process that is killed at that moment."""
    if (child := os.fork()) == 0:
        left = [moment]

        def strike(_event: str, _details: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(strike)
        built(Bundle.open(root))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0


if __name__ == "__main__":
    survive(Path(sys.argv[1]))
