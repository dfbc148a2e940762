"""One call at a time: the states of a decoder hold one sequence."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType

from edgespark.runtime.errors import UsageError


class Turns:
    """Lets one call in and makes others wait, but refuses them while a stream is unfinished.

    To wait for a stream could be to wait for ever: its reader may be the one who calls, or gone.
    """

    def __init__(self) -> None:
        """Start with nobody in."""
        self._condition = threading.Condition()
        self._busy = False
        self._streaming = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn for the block; UsageError while a stream is unfinished."""
        self.take()
        try:
            yield
        finally:
            self.free()

    def take(self) -> None:
        """Wait for the turn and take it; UsageError while a stream is unfinished."""
        with self._condition:
            self._condition.wait_for(lambda: self._streaming or not self._busy)
            if self._streaming:
                raise UsageError(
                    "a streamed answer is unfinished: read it to its end, or close() it, first"
                )
            self._busy = True

    def keep(self) -> None:
        """Keep the turn that was taken for a stream, which frees it when it ends."""
        with self._condition:
            self._streaming = True
            self._condition.notify_all()

    def free(self) -> None:
        """Give the turn back."""
        with self._condition:
            self._busy = self._streaming = False
            self._condition.notify_all()


class Stream(Iterator[str]):
    """An answer, piece by piece; joined, the pieces are what `generate` returns without stream.

    It occupies its Spark until it is read to the end, closed, or left as a context manager.
    """

    def __init__(self, pieces: Generator[str, None, None], release: Callable[[], None]) -> None:
        """Read from `pieces`, and call `release` once when the stream ends in any way."""
        self._pieces = pieces
        self._release: Callable[[], None] | None = release

    def __next__(self) -> str:
        """Return the next piece, which is never empty."""
        if self._release is None:
            raise StopIteration
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the stream here and let the Spark take other calls; harmless when repeated."""
        self._pieces.close()
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> "Stream":
        """Return the stream; it is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the stream."""
        self.close()

    def __del__(self) -> None:
        """Close a stream that nobody can read any more."""
        self.close()
