"""The documents that benchmarks write: their place judged before any work, each written whole.

Needs the standard library alone: a command line is judged before anything heavy is imported.
"""

import argparse
import json
import math
import os
import platform
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

INDENT = 1
TOLD = {"avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"}  # what INT8 and bf16 gain from
CPUINFO = Path("/proc/cpuinfo")  # Linux only


def load() -> float:
    """Return how many processes had or wanted a core in the last minute, ours among them."""
    return round(os.getloadavg()[0], 1)


BEFORE = load()  # when this module is imported: before anything of ours has run


def destination(text: str) -> Path:
    """Read the path of a document to be: what argparse is given as a type, so that it exits with 2.

    Refused is a path that could not be written later on, or is there and no regular file.
    """
    try:
        place = Path(text).resolve()
        there = _mode(place)
    except (OSError, RuntimeError) as error:  # a name too long; a loop of links
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {reason}") from error
    if there is not None and not stat.S_ISREG(there):
        raise argparse.ArgumentTypeError(f"{text} is no regular file: give another path")
    if not place.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{place.parent} is no folder: make it first")
    if not all(os.access(each, os.W_OK) for each in (place.parent, place) if each.exists()):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: give another path")
    return place


def at_least_one(text: str) -> int:
    """Read a count of rounds: a type of argparse too, since no round makes no document."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no count: expected 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """Read a time of 0 or more seconds: a type of argparse too."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected seconds, 0 or more")
    return value


def _mode(place: Path) -> int | None:
    try:
        return place.stat().st_mode
    except FileNotFoundError:
        return None


def write(place: Path, document: Mapping[str, object]) -> None:
    """Put the document in the place of what is there: all of it, or nothing and OSError."""
    draft = place.with_name(f".draft-{os.getpid()}")
    try:
        draft.write_text(json.dumps(document, indent=INDENT) + "\n", encoding="utf-8")
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def keep(document: Mapping[str, object], place: Path | None) -> int:
    """Write the document where a place is given: 0, or 2 where the place fails, told on stderr."""
    try:
        if place is not None:
            write(place, document)
    except OSError as error:
        print(f"error: {place} was not written: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def publish(document: Mapping[str, object], place: Path | None) -> int:
    """Print the document as the last line, then keep it: an exit code.

    What was measured is on stdout even where the place fails.
    """
    print(json.dumps(document), flush=True)
    return keep(document, place)


def stamp() -> dict[str, str]:
    """Tell what every document tells: its Python and its day."""
    return {"python": platform.python_version(), "date": today()}


def machine() -> dict[str, Any]:
    """Tell where and when times were taken: the processor, its load of the last minute, the day.

    The load is told of the start, which is that of others, and of now, which is ours too.
    """
    return {"cpu": cpu(), "load": {"before": BEFORE, "after": load()}, "date": today()}


def today() -> str:
    """Return the day, as 2026-01-31."""
    return time.strftime("%Y-%m-%d")


def cpu() -> str:
    """Name the processor, its cores, and those of its instructions that matter here."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {name.strip(): value.strip() for name, value in fields.items()}
    flags = sorted(TOLD & {*names.get("flags", "").split()})
    named = names.get("model name", platform.machine())
    return ", ".join([named, f"{os.cpu_count()} cores", *([" ".join(flags)] if flags else [])])


def versions_of(reports: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
    """Gather the versions that each peer's reports tell, by the peer's name, and our Python's."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for peer, told in reports.items():
        found[peer] = {}
        for each in told:
            found[peer] |= each.get("versions", {})
    return found
