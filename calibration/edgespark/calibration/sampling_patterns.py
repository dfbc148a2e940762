"""Patterns of the files that are to be a modality's samples, as the command line has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgespark.calibration.set_files import HEADER, companions
from edgespark.calibration.set_manifest import NAME
from edgespark.runtime.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """Files of one modality, relative to the set's folder, and the options that each has."""

    modality: str
    glob: str
    options: Mapping[str, str] = field(default_factory=dict)


def pattern_from_text(text: str) -> Pattern:
    """Read NAME=PATTERN or NAME=PATTERN?OPTION=VALUE&…; UsageError where it is neither."""
    name, sign, rest = text.partition("=")
    glob, mark, query = rest.rpartition("?")
    if not mark or "=" not in query:  # a ? without an option behind it stands for any letter
        glob, query = rest, ""
    if not sign or not name.strip().isidentifier() or not glob:
        raise UsageError(f"input {text!r} is not NAME=PATTERN, as in msi=*.tif")
    pairs = [each.partition("=") for each in query.split("&")] if query else []
    options = {option: value for option, _, value in pairs}
    if len(options) < len(pairs):
        raise UsageError(f"input {text!r}: an option stands more than once")
    return Pattern(modality=name.strip(), glob=glob, options=options)


def matched(root: Path, pattern: Pattern) -> list[str]:
    """Return the files that it matches, sorted, without those that are read beside another.

    InputError where it matches none, UsageError where it cannot be a pattern inside the folder.
    """
    glob = pattern.glob
    if ".." in PurePosixPath(glob).parts:
        raise UsageError(f"pattern {glob!r} leaves the folder")
    try:
        paths = [path for path in root.glob(glob) if not path.is_dir()]
    except (ValueError, NotImplementedError, IndexError, OSError) as error:
        raise UsageError(
            f"pattern {glob!r} cannot be used: {error}; give one relative to {root}"
        ) from error
    names = sorted({path.relative_to(root).as_posix() for path in paths} - {NAME})
    headers = {name for name in names if name.lower().endswith(HEADER)}
    beside = {own for name in names if name not in headers for own in companions(root, name)}
    if left := [name for name in names if name not in beside]:
        return left
    raise InputError(f"{root}: no file matches {glob!r}; {pattern.modality} would have no sample")
