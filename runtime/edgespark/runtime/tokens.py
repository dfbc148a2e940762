"""The bundle's tokenizer, and text that grows token by token."""

from collections.abc import Callable, Sequence

from edgespark.runtime.errors import BundleError

UNFINISHED = "\ufffd"  # what decoding shows for the first bytes of a character

LONGEST_TOKEN = 256
"""Characters; no vocabulary has a longer token, so a longer text fills a context for certain."""


class Tokenizer:
    """Turns text into ids and back; `</s>` written in a text is four characters, not the end."""

    def __init__(self, data: bytes, where: str, vocabulary: int) -> None:
        """Read the bytes of a `tokenizer.json`; BundleError where they are none.

        `vocabulary` is how many ids the model knows.
        """
        from tokenizers import Tokenizer as Native  # noqa: PLC0415 slow, and only chains need it

        self._where, self._vocabulary = where, vocabulary
        try:
            self._native = Native.from_str(data.decode())
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(where, [f"no tokenizer: {error}"]) from error
        self._native.no_truncation()
        self._native.no_padding()
        self._native.encode_special_tokens = True  # as the characters that they are

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text alone: no begin or end is added, none stands for a special.

        BundleError where the tokenizer fails, or is of another model.
        """
        try:
            ids = list(self._native.encode(text, add_special_tokens=False).ids)
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(self._where, [f"cannot tokenise: {error}"]) from error
        if ids and max(ids) >= self._vocabulary:
            problem = f"gives token {max(ids)}; the model knows {self._vocabulary}"
            raise BundleError(self._where, [problem])
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of the ids; special tokens leave nothing."""
        return str(self._native.decode(list(ids), skip_special_tokens=True))


class Text:
    """Text that is shown while its tokens arrive, and never taken back.

    The pieces joined are the whole text up to the first stop string, stripped. A piece is held back
    while it may still turn out to be half a character, the start of a stop string, or white space
    at the end.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: tuple[str, ...]) -> None:
        """Start empty; `decode` turns ids into text, and none of `stop` may be empty."""
        self._decode = decode
        self._stop = stop
        self._window: list[int] = []  # the last ids shown, as context for decoding, and those after
        self._known = ""  # what the ids shown decode to
        self._known_ids = 0
        self._held = ""
        self._began = False
        self.stopped = False

    def add(self, token: int) -> str:
        """Take the next id and return the piece, often empty, that can be shown now."""
        self._window.append(token)
        grown = self._decode(self._window)
        new = grown[len(self._known) :]
        if not new or new.endswith(UNFINISHED):
            return ""
        self._window = self._window[self._known_ids :]
        self._known_ids = len(self._window)
        self._known = self._decode(self._window)
        self._hold(new)
        return "" if self.stopped else self._show(len(self._held) - self._doubtful())

    def finish(self) -> str:
        """Return the last piece: what was held back, without white space at its end."""
        if not self.stopped:
            self._hold(self._decode(self._window)[len(self._known) :])
        return self._show(len(self._held))

    def _hold(self, new: str) -> None:
        self._held += new
        found = [at for at in map(self._held.find, self._stop) if at >= 0]
        if found:
            self._held = self._held[: min(found)]
            self.stopped = True

    def _doubtful(self) -> int:
        """Return how many characters at the end may be the start of a stop string."""
        held = len(self._held) + 1
        sizes = (size for stop in self._stop for size in range(1, min(len(stop), held)))
        return max((n for n in sizes if self._ends_in_stop(n)), default=0)

    def _ends_in_stop(self, size: int) -> bool:
        end = self._held[-size:]
        return len(end) == size and any(stop.startswith(end) for stop in self._stop)

    def _show(self, size: int) -> str:
        piece = self._held[:size].rstrip()
        self._held = self._held[len(piece) :]
        if not self._began:
            piece = piece.lstrip()
            self._began = bool(piece)
        return piece
