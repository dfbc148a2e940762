"""What every command's arguments and results have in common."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

from edgespark.runtime.errors import OutputError, UsageError
from edgespark.runtime.progress import track
from edgespark.runtime.streams import silence, write_if_possible, write_whole
from edgespark.runtime.wording import printable

if TYPE_CHECKING:  # numpy with it, whose import nothing would tell an interrupt of
    from edgespark.runtime.bundle import Watch


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, so that wrong use is told in one line."""

    def print_help(self, _: object = None) -> None:
        """Show the help as any other result."""
        show(self.format_help().rstrip())

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message and the way to the help."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add what chooses on what a bundle runs."""
    parser.add_argument("--device", default="auto", help="cpu, or auto: the best there is")
    parser.add_argument("--threads", type=int, help="CPU threads of one run")


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add the bundle, and what chooses how results are shown."""
    parser.add_argument("bundle", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="give one JSON document on stdout")
    parser.add_argument("--progress", action="store_true", help="show progress on any stderr")


def hashing(*, asked: bool) -> "Watch":
    """Return what draws a progress bar while the files of a bundle are hashed."""
    return lambda files: track(files, "hash", len(files), asked=asked)


def show(text: str) -> None:
    """Write a result to stdout, whole, without what would steer a terminal.

    OutputError where it cannot be written, BrokenPipeError where its reader has left.
    """
    _write(printable(text, keep="\n"))


def show_json(document: object) -> None:
    """Write the one JSON document of a command to stdout: ASCII, and no NaN or Infinity."""
    _write(json.dumps(document, indent=1, allow_nan=False))


def tell(text: str) -> None:
    """Write a remark to stderr; where that is closed or full, it is lost, but no result is."""
    shown = printable(text, keep="\n")
    write_if_possible(sys.stderr, f"edgespark: {shown}\n")


def _write(result: str) -> None:
    out: TextIO | None = sys.stdout
    if out is None:
        raise OutputError("the result cannot be written to stdout: it is closed")
    try:
        write_whole(out, result + "\n")
    except OSError as error:
        silence(out)
        if isinstance(error, BrokenPipeError):
            raise
        reason = error.strerror
        raise OutputError(f"the result cannot be written to stdout: {reason}") from error
