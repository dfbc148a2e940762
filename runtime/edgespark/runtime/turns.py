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
        self._owner: object = None
        self._streaming = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn for the block; UsageError while a stream is unfinished."""
        owner = object()
        try:
            self.take(owner)
            yield
        finally:
            self.free(owner)

    def take(self, owner: object) -> None:
        """Wait for the turn and take it; UsageError while a stream is unfinished.

        Call it where an interrupt at any time leads to `free`: to free too often does no harm.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._streaming or self._owner is None)
            if self._streaming:
                raise UsageError(
                    "a streamed answer is unfinished: read it to its end, or close() it, first"
                )
            self._owner = owner

    def keep(self) -> None:
        """Keep the turn that was taken for a stream, which frees it when it ends."""
        with self._condition:
            self._streaming = True
            self._condition.notify_all()

    def free(self, owner: object) -> None:
        """Give the turn back, where the owner has it."""
        with self._condition:
            if self._owner is owner:
                self._owner, self._streaming = None, False
                self._condition.notify_all()


class Stream(Iterator[str]):
    """An answer, piece by piece; joined, the pieces are what `generate` returns without stream.

    It occupies its Spark until it is read to the end, closed, or left as a context manager. Another
    thread may close it at any time: it waits for one token, or one chunk of the prompt.
    """

    def __init__(
        self,
        pieces: Generator[str, None, None],
        release: Callable[[], None],
        cancel: Callable[[], None],
    ) -> None:
        """Read from `pieces`; call `release`, perhaps repeatedly, once the stream has ended.

        `cancel` tells a piece that is being made not to go on.
        """
        self._pieces = pieces
        self._release = release
        self._cancel = cancel
        self._lock = threading.RLock()  # a generator must not be closed while it runs

    def __next__(self) -> str:
        """Return the next piece, which is never empty."""
        with self._lock:
            try:
                return next(self._pieces)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the stream here and let the Spark take other calls; harmless when repeated."""
        self._cancel()
        with self._lock:
            self._pieces.close()
            self._release()

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
