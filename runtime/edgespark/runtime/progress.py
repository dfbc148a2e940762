"""A progress bar on stderr, for people who wait."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from edgespark.runtime.streams import write_if_possible

T = TypeVar("T")

WIDTH = 24


@contextmanager
def track(
    items: Iterable[T], title: str, total: int, *, asked: bool = False, stream: TextIO | None = None
) -> Iterator[Iterable[T]]:
    """Give the items to go through in the block; show on stderr how many of `total` are done.

    The bar's line ends with the block, before anyone can tell of an error in it. Nothing is shown
    where the stream is no terminal, unless `asked`.
    """
    out: TextIO | None = sys.stderr if stream is None else stream
    if out is None or not (asked or out.isatty()):  # None: stderr was closed from the start
        yield items
        return
    try:
        yield _drawn(items, title, total, out)
    finally:
        write_if_possible(out, "\n")


def _drawn(items: Iterable[T], title: str, total: int, out: TextIO) -> Iterator[T]:
    _draw(out, title, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        _draw(out, title, done, total)


def _draw(out: TextIO, title: str, done: int, total: int) -> None:
    filled = WIDTH * done // max(total, 1)
    write_if_possible(out, f"\r{title} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}")
