"""The files of a calibration set on disk: which belong to a sample, and what they hash to.

Every file is resolved first, so that neither a path nor a link leads out of the folder, and only
regular files are opened, so that nothing waits on a pipe.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from edgespark.calibration.set_manifest import NAME, File, Items, Modality, Rows
from edgespark.calibration.set_options import FILES
from edgespark.calibration.set_rows import FIELDS
from edgespark.runtime.envi import HEADERS
from edgespark.runtime.envi import SUFFIXES as SAMPLES
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.paths import checked_file

Watch: TypeAlias = Callable[[Sequence[str]], AbstractContextManager[Iterable[str]]]
"""Is given the paths to hash, and gives them back for a block, say with a progress bar."""
CHUNK = 1 << 20
TIFF = (".msk", ".ovr", ".aux.xml", ".msk.ovr")
WORLD = (".tfw", ".tifw", ".wld", ".j2w")
HEADER = ".hdr"


def folder(path: str | Path) -> Path:
    """Return the set's folder with links resolved; MissingInput where there is none."""
    try:
        root = Path(path).resolve(strict=True)
        if str(path) and root.is_dir():
            return root
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or error
        raise MissingInput(f"no calibration set at {str(path)!r}: {reason}") from error
    raise MissingInput(f"{str(path)!r} is no folder; a calibration set is one, with {NAME} in it")


def located(root: Path, relative: str) -> Path:
    """Return where a file of the set lies; InputError where it leaves, lacks or is no file."""
    path = root / relative
    try:
        target = path.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingInput(f"{relative!r} is missing") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{relative!r} cannot be read: {error}") from error
    if not target.is_relative_to(root):
        raise InputError(f"{relative!r} leads out of the folder, to {str(target)!r}")
    checked_file(path)
    return path


def fingerprint(root: Path, relative: str) -> File:
    """Hash a file of the set in pieces; InputError as `located`, and where it cannot be read."""
    path, digest, size = located(root, relative), hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                size += len(piece)
    except OSError as error:  # a broken disk
        raise InputError(f"{relative!r} cannot be read: {error.strerror}") from error
    return File(path=relative, bytes=size, sha256=digest.hexdigest())


def faults(root: Path, files: Sequence[File], watch: Watch) -> list[str]:
    """Hash every file, and tell which are missing, of another size, or changed."""
    said = {file.path: file for file in files}
    with watch(list(said)) as paths:
        found = [_fault(root, said[path]) for path in paths]
    return [problem for problem in found if problem]


def _fault(root: Path, said: File) -> str:
    try:
        size = located(root, said.path).stat().st_size
        if size != said.bytes:
            return f"{said.path!r} has {size} bytes, the manifest says {said.bytes}"
        found = fingerprint(root, said.path)
    except (InputError, OSError) as error:
        return str(error)
    if found != said:
        digests = f"its SHA-256 is {found.sha256[:16]}…, the manifest says {said.sha256[:16]}…"
        return f"{said.path!r} was changed: {digests}"
    return ""


def used(root: Path, modalities: dict[str, Modality]) -> dict[str, str]:
    """Return each file that samples are read from, or that changes how, with its JSON path."""
    found: dict[str, str] = {}
    for name, modality in modalities.items():
        for at, path in SOURCES[type(modality)](root, modality):
            found.setdefault(path, f"$.modalities.{name}{at}")
    beside = {each: at for path, at in found.items() for each in companions(root, path)}
    return {**beside, **found}


def _of_rows(root: Path, rows: Rows) -> Iterator[tuple[str, str]]:
    paths = [f"{rows.folder}/{name}.npy" for name in FIELDS]
    yield from ((".folder", path) for path in paths if path == paths[0] or _is(root, path))


def _of_items(_: Path, modality: Items) -> Iterator[tuple[str, str]]:
    for i, item in enumerate(modality.items):
        at = f".items[{i}]"
        yield f"{at}.path", item.path
        yield from ((f"{at}.options.{k}", item.options[k]) for k in FILES if k in item.options)
        if item.target is not None:
            yield f"{at}.target", item.target


SOURCES: dict[type[Modality], Callable[[Path, Any], Iterator[tuple[str, str]]]] = {
    Items: _of_items,
    Rows: _of_rows,
}
"""Which files the samples are read from, each with its path in the modality's JSON."""


def companions(root: Path, relative: str) -> list[str]:
    """Return the files beside one that are read with it: masks, headers, georeferences."""
    path = PurePosixPath(relative)
    made = COMPANIONS.get(path.suffix.lower(), _none)(path)
    return [str(each) for each in dict.fromkeys(made) if _is(root, str(each)) and each != path]


def _none(_: PurePosixPath) -> Iterator[PurePosixPath]:
    yield from ()


def _of_raster(path: PurePosixPath) -> Iterator[PurePosixPath]:
    yield from (path.with_name(path.name + end) for end in TIFF)
    yield from (path.with_suffix(end) for end in WORLD)


def _of_samples(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """Give the headers that ENVI samples may have, and GDAL's own notes."""
    yield from (path.with_name(path.name + end) for end in (*HEADERS, ".aux.xml"))
    yield from (path.with_suffix(end) for end in HEADERS)


def _of_header(path: PurePosixPath) -> Iterator[PurePosixPath]:
    for end in SAMPLES:
        samples = path.with_name(path.stem + end)
        yield from (samples, samples.with_name(samples.name + ".aux.xml"))


COMPANIONS: dict[str, Callable[[PurePosixPath], Iterator[PurePosixPath]]] = {
    **dict.fromkeys((".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg"), _of_raster),
    **dict.fromkeys(SAMPLES, _of_samples),
    HEADER: _of_header,
}


def _is(root: Path, relative: str) -> bool:
    return (root / relative).is_file() or (root / relative).is_symlink()
