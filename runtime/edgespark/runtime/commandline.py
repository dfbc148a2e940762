"""What every command's arguments and results have in common."""

import argparse
import json
import sys
from typing import NoReturn

from edgespark.runtime.bundle import Watch
from edgespark.runtime.errors import UsageError
from edgespark.runtime.progress import track


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, so that wrong use is told in one line."""

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


def hashing(*, asked: bool) -> Watch:
    """Return what draws a progress bar while the files of a bundle are hashed."""
    return lambda files: track(files, "hash", len(files), asked=asked)


def show(text: str) -> None:
    """Write a result to stdout."""
    sys.stdout.write(text + "\n")


def show_json(document: object) -> None:
    """Write the one JSON document of a command to stdout: ASCII, and no NaN or Infinity."""
    show(json.dumps(document, indent=1, allow_nan=False))


def tell(text: str) -> None:
    """Write a remark to stderr."""
    sys.stderr.write(f"edgespark: {text}\n")
