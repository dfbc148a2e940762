"""The manifest of a calibration set: its records, which check themselves, and its bytes.

`docs/calibration.md` states the format.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, TypeAlias

from edgespark.calibration.set_options import option_problems
from edgespark.runtime import _decode
from edgespark.runtime.errors import InputError
from edgespark.runtime.wording import printable

FORMAT = "edgespark-calibration"
VERSION = 1
NAME = "calibration.json"
LONGEST = 16 << 20
"""Bytes of a manifest; some hundred thousand samples, far below what hurts a machine."""
DIGEST_LENGTH = 64
REFERENCES = (".vrt",)
LONGEST_PATH = 4096
"""Letters; Linux opens no longer one."""
MOST_MODALITIES = 1000
"""Every bundle has fewer, and each takes some files to be opened."""
MOST_PROBLEMS = 50
"""Problems that a message names; a hostile manifest may have a million."""


def check_path(path: str) -> None:
    """Refuse a path that leaves the folder, is not in its plainest form, or is the manifest's."""
    if len(path) > LONGEST_PATH:
        raise ValueError(f"path {path[:20]!r}… has {len(path)} letters; {LONGEST_PATH} at most")
    plain = PurePosixPath(path)
    inside = plain.parts and not plain.is_absolute() and ".." not in plain.parts
    if not inside or "\\" in path or "\0" in path or str(plain) != path:
        raise ValueError(f"path {path!r} leaves the folder or is not in its plainest form")
    if not is_text(path):
        raise ValueError(f"path {path!r} is not UTF-8")
    if path == NAME:
        raise ValueError(f"path {path!r} is the manifest's own")
    if plain.suffix.lower() in REFERENCES:
        raise ValueError(f"{path!r} only refers to other files, which no hash of it covers")


def is_text(name: str) -> bool:
    """Tell whether UTF-8 can write it; bytes of a name that are no text are lone surrogates."""
    try:
        name.encode()
    except UnicodeError:
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file of the set: where it lies, its size in bytes, and what its bytes must hash to."""

    path: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse what no file can be."""
        check_path(self.path)
        if len(self.sha256) != DIGEST_LENGTH or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"sha256 {self.sha256!r} is not 64 lower-case hexadecimal digits")
        if self.bytes < 0:
            raise ValueError(f"a file of {self.bytes} bytes cannot be")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One sample that lies in a file: its path, and options as on the command line.

    What is right about it may stand beside: `label` is the index of its class, `target` the path of
    a .npy file with what a regression should give, `question` and `answer` are text.
    """

    path: str
    options: dict[str, str] = field(default_factory=dict)
    label: int | None = None
    target: str | None = None
    question: str | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        """Refuse paths that leave, options that no kind of input has, and labels below 0."""
        check_path(self.path)
        if self.target is not None:
            check_path(self.target)
        if self.label is not None and self.label < 0:
            raise ValueError(f"label {self.label} is no index of a class: it is below 0")
        if wrong := list(option_problems(self.path, self.options, check_path)):
            raise ValueError("; ".join(wrong))


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """The samples of a modality that lie in files, one or more."""

    kind: Literal["items"] = "items"
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        """Refuse no sample at all."""
        if not self.items:
            raise ValueError("there is no sample in it: items is empty")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The samples of a modality that are the rows of the .npy files in a folder."""

    kind: Literal["rows"] = "rows"
    folder: str

    def __post_init__(self) -> None:
        """Refuse a folder outside."""
        check_path(self.folder)


Modality: TypeAlias = Items | Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class SetManifest:
    """What a calibration set holds, and the bytes that it was made from.

    `seed` is what its windows were drawn with; samples are taken in the order in which they stand.
    """

    format: Literal["edgespark-calibration"] = "edgespark-calibration"
    version: int = VERSION
    seed: int
    modalities: dict[str, Modality]
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        """Refuse a set of nothing, names that no keyword can be, and one file told twice."""
        if not self.modalities:
            raise ValueError("modalities: there is no sample in it")
        if len(self.modalities) > MOST_MODALITIES:
            raise ValueError(
                f"modalities: there are {len(self.modalities)}; {MOST_MODALITIES} at most"
            )
        if bad := [name for name in self.modalities if not name.isidentifier()]:
            raise ValueError(f"modalities: {', '.join(map(repr, bad))} cannot name a modality")
        counts = Counter(file.path for file in self.files)
        if twice := sorted(path for path, count in counts.items() if count > 1):
            raise ValueError(f"files: {', '.join(map(repr, twice))} stands more than once")

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's canonical JSON, which covers what the files hash to.

        Canonical: without what has its default, keys sorted, no white space, ASCII.
        """
        text = json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def bytes_from_manifest(made: SetManifest) -> bytes:
    """Return the manifest as the bytes of its file; InputError where it would be too long."""
    content = f"{json.dumps(_plain(made), indent=1, ensure_ascii=False)}\n".encode()
    if len(content) > LONGEST:
        raise InputError(f"the manifest would have {len(content)} bytes, more than {LONGEST}")
    return content


def manifest_from_bytes(content: bytes, where: str) -> SetManifest:
    """Judge the bytes of a manifest; InputError tells `where`, and all that is wrong."""
    if len(content) > LONGEST:
        raise InputError(f"{where}: has more than {LONGEST} bytes, so it is no manifest")
    try:
        value = _decode.parse(content.decode())
    except ValueError as error:
        raise InputError(f"{where}: is no strict JSON: {error}") from error
    if problem := _of_another_version(value):
        raise InputError(f"{where}: {problem}")
    made, problems = _decode.decode(SetManifest, value)
    if made is None:
        raise InputError(told(where, problems))
    return made


def told(where: str, problems: list[str]) -> str:
    """Write the problems of a place in one message: a line for each, the first fifty of many."""
    shown = [printable(each) for each in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        shown.append(f"and {len(problems) - MOST_PROBLEMS} more")
    return f"{where}: {shown[0]}" if len(shown) == 1 else "\n  ".join([f"{where}:", *shown])


def _of_another_version(value: object) -> str:
    """Judge format and version before all else: another version may mean anything by the rest."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return f"its format is not {FORMAT!r}, so this is no calibration set"
    version = value.get("version")
    if type(version) is int and version == VERSION:
        return ""
    newer = type(version) is int and version > VERSION
    advice = "install a newer edgespark" if newer else "make it anew: edgespark sample"
    got = _decode.shown(version) if "version" in value else "none"
    return f"has version {got}; version {VERSION} is read: {advice}"


def _plain(value: Any) -> Any:  # noqa: ANN401 any JSON
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(each) for name, each in _told(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _told(record: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 a dataclass
    """Give the fields that say something: all that are not empty, and numbers."""
    for each in fields(record):
        value = getattr(record, each.name)
        if value not in (None, (), {}):
            yield each.name, value
