"""A bundle on disk: its manifest is judged as a whole, its files are hashed before they are used.

`docs/bundle.md` states the format. Every file is resolved first, so that neither a path nor a link
leads out of the bundle, and only regular files are opened, so that nothing waits on a pipe.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from edgespark.runtime import _check, _decode, _seal
from edgespark.runtime.errors import BundleError, MissingInput
from edgespark.runtime.manifest import DERIVED, FORMAT, VERSION, File, Manifest
from edgespark.runtime.manifest import FILE as MANIFEST
from edgespark.runtime.wording import printable

Watch: TypeAlias = Callable[[tuple[File, ...]], AbstractContextManager[Iterable[File]]]
CHUNK = 1 << 20
MANIFEST_LIMIT = 16 << 20  # bytes: far beyond any real manifest, far below what hurts a device


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: the folder, with links resolved, and what its manifest says.

    `record` is what messages call that which says how the files in the folder are.
    """

    root: Path
    manifest: Manifest
    record: str = "the manifest"

    @classmethod
    def open(cls, path: str | Path) -> "Bundle":
        """Read and check the manifest; no other file is touched.

        Raises MissingInput where no folder is, and BundleError with every problem of the manifest.
        """
        root = _folder(path)
        return cls(root, _read_manifest(root))

    def files(self) -> tuple[File, ...]:
        """Return each file that the manifest names, once, in its order."""
        return tuple({file.path: file for _, file in _check.files(self.manifest)}.values())

    def read(self, file: File) -> bytes:
        """Return the bytes, read once; BundleError unless size and SHA-256 are as declared."""
        with self._opened(file) as stream:
            content = stream.read(file.bytes)
        self._compare(file, hashlib.sha256(content).hexdigest())
        return content

    def verified(self, file: File) -> Path:
        """Return where the file lies, after hashing it in pieces; BundleError as `read`."""
        digest = hashlib.sha256()
        with self._opened(file) as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
            path = Path(stream.name)
        self._compare(file, digest.hexdigest())
        return path

    def problems(self, watch: Watch = nullcontext) -> list[str]:
        """Hash every file, and name what is missing, changed or unlisted, and links that leave.

        `watch` is given the files and gives them back for a block, say with a progress bar.
        """
        files = self.files()
        with watch(files) as watched:
            faults = [problem for file in watched for problem in self._faults(file)]
        return faults + list(_strays(self.root, {file.path for file in files}))

    def _faults(self, file: File) -> tuple[str, ...]:
        try:
            self.verified(file)
        except BundleError as error:
            return error.problems
        return ()

    @contextmanager
    def _opened(self, file: File) -> Iterator[BinaryIO]:
        with _regular(self.root, file.path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != file.bytes:
                problem = f"{file.path!r} has {size} bytes, {self.record} says {file.bytes}"
                raise BundleError(str(self.root), [problem])
            yield stream

    def _compare(self, file: File, digest: str) -> None:
        if digest != file.sha256:
            problem = f"{file.path!r} was changed: its SHA-256 is {digest[:16]}…, "
            raise BundleError(str(self.root), [f"{problem}{self.record} says {file.sha256[:16]}…"])


def bytes_from_manifest(made: Manifest) -> bytes:
    """Return the manifest as the bytes of its file: UTF-8 JSON, sealed with its own digest."""
    plain = json.loads(json.dumps(asdict(made), allow_nan=False))
    plain[_seal.FIELD] = _seal.digest(plain)
    return f"{json.dumps(plain, indent=1, ensure_ascii=False)}\n".encode()


def _folder(path: str | Path) -> Path:
    if not str(path):  # pathlib takes it for the current folder
        raise MissingInput("the path of the bundle is empty; expected its folder")
    try:
        root = Path(path).resolve(strict=True)
        if root.is_dir():
            return root
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        raise MissingInput(f"no bundle at {str(path)!r}: {_reason(error)}") from None
    raise MissingInput(f"{str(path)!r} is no folder; a bundle is one, with {MANIFEST} in it")


def _read_manifest(root: Path) -> Manifest:
    where = str(root / MANIFEST)
    if not os.path.lexists(where):
        problem = f"no {MANIFEST} in it, so this is not a bundle; export one there first"
        raise BundleError(str(root), [problem])
    with _regular(root, MANIFEST) as stream:
        content = stream.read(MANIFEST_LIMIT + 1)
    if len(content) > MANIFEST_LIMIT:
        raise BundleError(where, [f"has more than {MANIFEST_LIMIT} bytes, so it is no manifest"])
    made, problems = _judged(content)
    if made is None or problems:
        raise BundleError(where, [printable(problem) for problem in problems])
    return made


def _judged(content: bytes) -> tuple[Manifest | None, list[str]]:
    try:
        value = _decode.parse(content.decode())
    except ValueError as error:
        return None, [f"is no strict JSON: {error}"]
    if problem := _of_another_version(value):
        return None, [problem]
    made, problems = _decode.decode(Manifest, value)
    if made is None:
        return None, problems
    # What can be named is told by name; the digest finds what is wrong and looks right.
    return made, _check.problems(made) or _damage(value)


def _damage(value: object) -> list[str]:
    found = _seal.problem(cast("dict[str, _seal.Json]", value))
    return [found] if found else []


def _of_another_version(value: object) -> str:
    """Judge format and version before all else: another version may mean anything by the rest."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return f"its format is not {FORMAT!r}, so this is not a bundle"
    version = value.get("version")
    if type(version) is int and version == VERSION:
        return ""
    newer = type(version) is int and version > VERSION
    advice = "install a newer edgespark" if newer else "export the bundle again"
    got = version if type(version) is int else _decode.shown(version)
    got = got if "version" in value else "none"
    return f"has version {got}, this runtime reads version {VERSION} only: {advice}"


@contextmanager
def _regular(root: Path, relative: str) -> Iterator[BinaryIO]:
    try:
        path = (root / relative).resolve(strict=True)
        if not path.is_relative_to(root):
            raise BundleError(str(root), [f"{relative!r} leads out of the bundle, to {path}"])
        if not path.is_file():
            raise BundleError(str(root), [f"{relative!r} is not a regular file"])
        with path.open("rb") as stream:
            yield stream
    except FileNotFoundError:
        raise BundleError(str(root), [f"{relative!r} is missing"]) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise BundleError(str(root), [f"{relative!r} cannot be read: {_reason(error)}"]) from None


def _strays(root: Path, known: set[str]) -> Iterator[str]:
    refused: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=refused.append):
        at = Path(folder)
        yield from (
            f"{str((at / name).relative_to(root))!r} is a link that leads out of the bundle"
            for name in folders
            if not (at / name).resolve().is_relative_to(root)
        )
        if at == root:
            folders[:] = [name for name in folders if name != DERIVED]
            names = [name for name in names if name != MANIFEST]  # noqa: PLW2901 the rest
        relative = [str((at / name).relative_to(root)) for name in names]
        yield from (f"{name!r} is not in the manifest" for name in relative if name not in known)
    yield from (f"{error.filename!r} cannot be listed: {_reason(error)}" for error in refused)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
