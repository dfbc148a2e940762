"""Groups of work that need nothing of each other, done at the same time where cores allow."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

ENOUGH = 4  # cores
"""From so many on. A part takes all cores by itself, so that two at a time gain little on two."""

AT_ONCE = 4  # groups: more gain little, and each has threads that wait for cores


def workers(threads: int | None = None) -> int:
    """Return how many groups to do at the same time: 1 where there are too few cores.

    `threads` is how many of the cores may be used; None is all that this process is given.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    usable = min(threads or cores or 1, cores or 1)
    return min(usable // 2, AT_ONCE) if usable >= ENOUGH else 1


def overlapped(
    groups: Sequence[Sequence[int]], work: Callable[[int], T], at_once: int
) -> dict[int, T]:
    """Do `work` for every number, groups at the same time, those in a group one after another.

    `at_once` is how many groups at most. Raises what the least number raises that fails, as if all
    were done in order; what has a greater number is not begun after that, and nothing
    at all after an interrupt, which is raised when what runs is done.
    """
    done: dict[int, T] = {}
    failed: dict[int, Exception] = {}
    stopped = threading.Event()

    def run(group: Sequence[int]) -> None:
        for number in group:
            if stopped.is_set() or any(number > each for each in list(failed)):
                return
            try:
                done[number] = work(number)
            except Exception as error:  # noqa: BLE001 raised below, where it is the first
                failed[number] = error

    with ThreadPoolExecutor(at_once, thread_name_prefix="edgespark") as pool:
        try:
            list(pool.map(run, groups))  # which waits, and raises an interrupt
        except BaseException:
            stopped.set()
            raise
    if failed:
        raise failed[min(failed)]
    return done
