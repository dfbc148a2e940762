"""Processes that a benchmark starts: each prints one JSON document as its last line.

Needs the standard library alone.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class ChildError(Exception):
    """Tells in a line why a process gave no document."""


def ran(
    command: Sequence[object], log: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a command in the project's root, and return the document that its last line is.

    What it says on stderr lies in the file `log` afterwards; the variables of `environment` are set
    beside our own. ChildError where the process fails, with its last words, or where its last line
    is no document.
    """
    words = [str(each) for each in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as errors:
        done = subprocess.run(  # noqa: S603 our own code
            words,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    if done.returncode:
        silent = f"it ended with code {done.returncode} and said nothing"
        raise ChildError(_last([silent, *_lines(log)]))
    try:
        return dict(json.loads(_last(done.stdout.splitlines())))
    except (IndexError, TypeError, ValueError) as error:
        raise ChildError(f"the last line of {' '.join(words)} is no document") from error


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").split("\n")


def _last(lines: Sequence[str]) -> str:
    return [each.strip() for each in lines if each.strip()][-1]
