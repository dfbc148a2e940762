"""A progress bar on stderr, for people who wait."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

T = TypeVar("T")
Track = Callable[[Sequence[T], str], Iterable[T]]

WIDTH = 24


def track(
    items: Iterable[T], title: str, total: int, *, asked: bool = False, stream: TextIO | None = None
) -> Iterator[T]:
    """Give the items one by one, and show on stderr how many of `total` are done.

    Nothing is shown where the stream is no terminal, unless `asked`.
    """
    out = sys.stderr if stream is None else stream
    if not (asked or out.isatty()):
        yield from items
        return
    try:
        _draw(out, title, 0, total)
        for done, item in enumerate(items, 1):
            yield item
            _draw(out, title, done, total)
    finally:
        out.write("\n")
        out.flush()


def _draw(out: TextIO, title: str, done: int, total: int) -> None:
    filled = WIDTH * done // max(total, 1)
    out.write(f"\r{title} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}")
    out.flush()
