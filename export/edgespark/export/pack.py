"""Write a bundle whole beside its destination, check it as its reader will, then move it there.

Until the one rename at the end nothing at the destination changes, whatever happens: an error, a
full disk, a kill. After it the new bundle is there, whole and on the disk.
"""

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgespark.export import _rename
from edgespark.export._drafts import BUNDLE, draft_folder, sweep
from edgespark.runtime.bundle import CHUNK, MANIFEST_LIMIT, Bundle, bytes_from_manifest
from edgespark.runtime.errors import BundleError, EdgesparkError, EdgesparkWarning, OutputError
from edgespark.runtime.manifest import FILE as MANIFEST
from edgespark.runtime.manifest import FORMAT, File, Manifest

NO_DIGEST = "0" * 64
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def pack(out: str | Path, *, replace: bool = False) -> Iterator["Draft"]:
    """Give a draft to fill; what `Draft.finish` has not published is removed on leaving.

    Raises OutputError as `destination`, where the draft cannot be written, and where the filesystem
    cannot move folders atomically: all before the caller's long work begins.
    """
    place = destination(out, replace=replace)
    with _disk_errors(place, DISK_ERRORS), _workspace(place) as folder:
        yield Draft(place, folder / BUNDLE, replace)


def destination(out: str | Path, *, replace: bool) -> Path:
    """Return the absolute path of a bundle to be; OutputError where it cannot, or must not, stand.

    A place that holds a bundle needs `replace`. A place that holds anything else, an empty folder
    and a link too, is never replaced.
    """
    place = _absolute(Path(out))
    with _disk_errors(place):
        _judge(place, replace=replace)
    return place


def is_bundle(folder: Path) -> bool:
    """Tell whether a manifest of the bundle format lies there, of whatever version and damage."""
    path = folder / MANIFEST
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MANIFEST_LIMIT:
            return False
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT


@dataclass(slots=True)
class Draft:
    """A bundle in the making: `root` is its folder until it is published at `place`."""

    place: Path
    root: Path
    replace: bool
    published: bool = False

    def add(self, relative: str, content: bytes) -> File:
        """Write a file, and return its record; ValueError on a path no bundle may have."""
        with _disk_errors(self.place):
            self.path(relative).write_bytes(content)
        return File(path=relative, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def path(self, relative: str) -> Path:
        """Return where another tool may write that file; its folder is made."""
        self._writable()
        path = self.root / File(path=relative, bytes=0, sha256=NO_DIGEST).path
        with _disk_errors(self.place):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def link(self, file: Path, relative: str) -> None:
        """Take a finished file of the same disk into the bundle, without copying it."""
        with _disk_errors(self.place):
            os.link(file, self.path(relative))

    def record(self, relative: str) -> File:
        """Hash a file that another tool has written, and return its record."""
        digest, size = hashlib.sha256(), 0
        with _disk_errors(self.place), self.path(relative).open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                size += len(piece)
        return File(path=relative, bytes=size, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> Bundle:
        """Write the manifest, check all as a reader would, and publish; return the bundle in place.

        BundleError where the reader finds a problem, OutputError where the move fails: the
        destination is then as it was.
        """
        self._writable()
        with _disk_errors(self.place):
            (self.root / MANIFEST).write_bytes(bytes_from_manifest(manifest))
            _check(self.root, self.place)
            _sync(self.root)
            self._publish()
        self.published = True
        _settle(self.root.parent, self.place.parent)
        return Bundle.open(self.place)

    def _writable(self) -> None:
        if self.published:
            raise ValueError(f"the bundle at {self.place} is published and changes no more")

    def _publish(self) -> None:
        # What lies there may have changed during the work; it is judged again, and after the
        # exchange once more, on what was really taken out.
        if not os.path.lexists(destination(self.place, replace=self.replace)):
            _rename.move(self.root, self.place)
        else:
            _rename.exchange(self.root, self.place)
            if not is_bundle(self.root):
                _rename.exchange(self.root, self.place)
                raise OutputError(f"{self.place} is no longer a bundle, so it is not replaced")


def _absolute(out: Path) -> Path:
    if out.name in ("", "..") or "\0" in str(out):
        raise OutputError(f"{str(out)!r} names no new folder; give the path of the bundle itself")
    try:
        parent = out.parent.resolve()
        nearest = _nearest(parent)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop of links
        raise OutputError(f"{out.parent} cannot be a folder; give another place") from None
    if not nearest.is_dir():
        raise OutputError(f"{nearest} is no folder; give another place")
    return parent / out.name


def _nearest(folder: Path) -> Path:
    """Return the folder, or the closest one above it that is there; missing ones get made."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))


def _judge(place: Path, *, replace: bool) -> None:
    if place.is_symlink():
        raise OutputError(f"{place} is a link; give the place that it leads to, {place.resolve()}")
    if place.is_dir() and not is_bundle(place):
        raise OutputError(f"{place} is a folder but no bundle, so it is not replaced; move it away")
    if place.is_dir() and not replace:
        raise OutputError(f"{place} already holds a bundle; give --replace to replace it")
    if place.exists() and not place.is_dir():
        raise OutputError(f"{place} is a file; a bundle is a folder, so give another path")
    nearest = _nearest(place.parent)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{nearest} is not writable; give another place")


@contextmanager
def _workspace(place: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        with _disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            sweep(place)
            folder = stack.enter_context(draft_folder(place))
            _probe(folder)
        yield folder


def _probe(folder: Path) -> None:
    """Learn now, not after hours of work, whether the filesystem can exchange two folders."""
    probe = folder / "probe"
    probe.mkdir()
    _rename.exchange(probe, folder / BUNDLE)
    probe.rmdir()


def _check(root: Path, place: Path) -> None:
    try:
        problems = Bundle.open(root).problems()
    except BundleError as error:
        raise BundleError(f"the draft of {place}", error.problems) from None
    if problems:
        raise BundleError(f"the draft of {place}", problems)


def _sync(root: Path) -> None:
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _sync_entry(Path(folder, name))
        _sync_entry(Path(folder))


def _settle(*folders: Path) -> None:
    """Bring the move itself to the disk; it is done, so that a failure can only be told."""
    try:
        for folder in folders:
            _sync_entry(folder)
    except OSError as error:
        text = f"the bundle is in place, but may not outlive a power cut: {error.strerror}"
        warnings.warn(text, EdgesparkWarning, stacklevel=3)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(place: Path, only: set[int] | None = None) -> Iterator[None]:
    """Turn what the disk refuses into an OutputError; what goes wrong elsewhere passes."""
    try:
        yield
    except EdgesparkError:
        raise
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        at = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{at}"
        raise OutputError(
            f"{place} was not written, and nothing there changed: {reason}"
        ) from error
