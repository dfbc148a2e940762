"""The files that evidence is written to: judged before any work, and never lost by accident."""

import os
from dataclasses import dataclass
from pathlib import Path

from edgespark.runtime.errors import OutputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """A file to be; one that is there is only replaced where `replace` says so."""

    path: Path
    replace: bool

    def check(self, bundle: Path) -> None:
        """Refuse what cannot be written later on, or must not: OutputError.

        `bundle` is a folder whose files no one may add to.
        """
        try:
            self._judge(bundle)
        except OutputError:
            raise
        except (OSError, RuntimeError) as error:  # a name too long; a loop of links
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{str(self.path)!r} cannot be written: {reason}") from error

    def _judge(self, bundle: Path) -> None:
        where = str(self.path)
        if not self.path.name or self.path.is_dir():
            raise OutputError(f"{where!r} is a folder; expected the name of a file in one")
        folder = self.path.resolve().parent
        if not folder.is_dir():
            raise OutputError(f"{where!r} cannot be written: there is no folder {str(folder)!r}")
        if not os.access(folder, os.W_OK):
            raise OutputError(f"{where!r} cannot be written: {str(folder)!r} takes no files")
        if folder.is_relative_to(bundle):
            raise OutputError(f"{where!r} is inside the bundle, which is never changed")
        if os.path.lexists(self.path) and not self.path.is_file():
            raise OutputError(f"{where!r} is there already, and is no regular file")
        if self.path.is_file() and not self.replace:
            raise OutputError(f"{where!r} is there already: add --replace, or name another file")

    def write(self, text: str) -> None:
        """Write the file whole, or not at all: OutputError."""
        draft = self.path.with_name(f".{self.path.name}.draft-{os.getpid()}")
        made = draft if self.replace else self.path
        try:
            with made.open("x", encoding="utf-8", newline="\n") as stream:
                try:
                    stream.write(text)
                    stream.flush()
                    if self.replace:
                        draft.replace(self.path)
                except OSError:
                    made.unlink()
                    raise
        except OSError as error:
            raise OutputError(f"{str(self.path)!r} cannot be written: {error.strerror}") from error
