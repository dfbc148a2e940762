"""Graphs that were made of a bundle's own for one kind of machine: `derived/FINGERPRINT/` each.

They lie in the bundle's folder, or in that which $EDGESPARK_CACHE names, where a bundle cannot be
written. The bundle's hashes do not cover them: each says by hash what it was made of, and what its
own files hold. To delete them is always safe: the portable graphs run then.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgespark.runtime import _decode
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived_record import FILE, FORMAT, VERSION, Derived, problems, sources
from edgespark.runtime.errors import BundleError, DeviceError, GraphRefused
from edgespark.runtime.manifest import DERIVED, Graph, Part
from edgespark.runtime.wording import printable

PORTABLE = "portable"  # the form of a bundle's own graphs
CACHE = "EDGESPARK_CACHE"  # the variable that names another folder of such folders
LIMIT = 1 << 20  # bytes of the record
INSTEAD = "--portable (`portable=True` of `load`) runs the bundle's own graph instead"
ADVICE = "delete this folder: the portable graph runs then, `edgespark build` makes it again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A derived graph on disk: its record, and its files, hashed when they are read.

    `files.root` is the folder that it lies in, which is not yet its own where it is a `draft`.
    """

    record: Derived
    files: Bundle
    draft: bool = False

    @property
    def bytes(self) -> int:
        """Count the bytes of the graph and its weights, as recorded."""
        return sum(file.bytes for file in (self.record.file, *self.record.data))


def fingerprint(bundle: Bundle, part: Part, graph: Graph, lowering: str) -> str:
    """Return the name of the folder of what a lowering makes of the part's graph: 32 hex digits.

    It sums up all that a lowering goes by: hashes, ports, states, and the context.
    """
    told = {
        "lowering": lowering,
        "part": part.name,
        "precision": graph.precision,
        "source": sources(graph),
        "ports": [asdict(each) for each in (*part.inputs, *part.outputs)],
        "states": [asdict(each) for each in graph.states],
        "context": bundle.manifest.language.context,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def folders(bundle: Bundle) -> Iterator[Path]:
    """Give the folders in which derived graphs are looked for, the bundle's own first.

    BundleError where the bundle's own leads out of it.
    """
    own = bundle.root / DERIVED
    with _told(own):
        if not own.resolve().is_relative_to(bundle.root.resolve()):
            raise BundleError(DERIVED, ["is a link that leads out of the bundle"])
    yield own
    if named := os.environ.get(CACHE):
        yield Path(named)


def find(bundle: Bundle, part: Part, graph: Graph, lowering: str) -> Found | None:
    """Return what the lowering made of the part's graph; None where nothing lies there.

    BundleError, which says to delete it, for a record that is broken or of something else.
    """
    folder = place(bundle, fingerprint(bundle, part, graph, lowering))
    if folder is None:
        return None
    found = read(bundle, folder)
    told = list(problems(found.record, part, graph, bundle.manifest.language.context))
    if found.record.lowering != lowering:
        told.insert(0, f"its lowering is {found.record.lowering!r}, expected {lowering!r}")
    if told:
        raise broken(folder, told)
    return found


def place(bundle: Bundle, name: str) -> Path | None:
    """Return the folder of that fingerprint, the only one that is looked into; None for none."""
    return next((each / name for each in folders(bundle) if _is_there(each / name)), None)


def _is_there(folder: Path) -> bool:
    with _told(folder), suppress(FileNotFoundError, NotADirectoryError):
        folder.lstat()
        return True
    return False


def read(bundle: Bundle, folder: Path) -> Found:
    """Read the record of a derived graph; BundleError where it is broken, or leads elsewhere."""
    with _told(folder):
        root = folder.resolve(strict=True)
        if not root.is_relative_to(folder.parent.resolve()):
            raise BundleError(FILE, [f"the folder is a link that leads out, to {root}"])
        if not (root / FILE).resolve(strict=True).is_relative_to(root):
            raise BundleError(FILE, [f"{FILE} is a link that leads out of the folder"])
        if not (root / FILE).is_file():
            raise BundleError(FILE, [f"{FILE} is not a regular file"])
        with (root / FILE).open("rb") as stream:
            record = _record(stream.read(LIMIT + 1))
    return found_in(bundle, root, record)


def found_in(bundle: Bundle, root: Path, record: Derived, *, draft: bool = False) -> Found:
    """Return the derived graph of that record whose files lie in the folder `root`."""
    return Found(record=record, files=replace(bundle, root=root, record=FILE), draft=draft)


def check_files(found: Found) -> None:
    """Hash the files; BundleError, which says to delete the folder, where one was changed."""
    with _told(found.files.root):
        for file in (found.record.file, *found.record.data):
            found.files.verified(file)


def program(found: Found, threads: int | None) -> Program:
    """Read and hash what a backend needs to open the derived graph; BundleError as `check_files`.

    Its ports are those of the record, states last.
    """
    record, root = found.record, found.files.root
    with _told(root):
        for file in record.data:
            found.files.verified(file)
        content = found.files.read(record.file)
    return Program(
        where=f"{DERIVED}/{root.name}/{record.file.path}",
        graph=content,
        inputs=(*record.inputs, *(state.past for state in record.states)),
        outputs=(*record.outputs, *(state.new for state in record.states)),
        folder=root if record.data else None,
        data=tuple(file.path for file in record.data),
        threads=threads,
        steady=found.files.manifest.part(record.part).role == "decoder",
        record=FILE,
    )


@contextmanager
def advised(found: Found | None) -> Iterator[None]:
    """Say what to do where a derived graph does not open: BundleError and DeviceError as they are.

    To delete it is the advice where the fault is its own, not where this machine is short of
    something. What is portable (None), or a draft, has no folder that could be deleted.
    """
    try:
        yield
    except (BundleError, DeviceError) as error:
        if found is None or found.draft:
            raise
        if isinstance(error, BundleError):
            raise broken(
                found.files.root, [f"{found.record.file.path}: {each}" for each in error.problems]
            ) from error
        if isinstance(error, GraphRefused):
            told = f"{error}; it lies in {found.files.root}: {ADVICE}"
            raise GraphRefused(told) from error
        raise DeviceError(f"{error}; {INSTEAD}") from error


def usable(record: Derived) -> str:
    """Say why the installed ONNX Runtime cannot run the derived graph; "" where it can."""
    installed = backend("onnxruntime").version()
    if _numbers(installed) >= _numbers(record.onnxruntime):
        return ""
    return (
        f"{record.lowering} of {record.part} {record.precision} needs onnxruntime "
        f"{record.onnxruntime} or newer, {installed} is installed"
    )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version; what a wheel adds behind them is left out."""
    found = [re.match(r"\d+", each) for each in version.split(".")[:3]]
    told = [int(each.group()) for each in found if each]
    return (*told, *[0] * (3 - len(told)))


def _record(content: bytes) -> Derived:
    if len(content) > LIMIT:
        raise BundleError(FILE, [f"has more than {LIMIT} bytes"])
    try:
        value = _decode.parse(content.decode())
    except ValueError as error:
        raise BundleError(FILE, [f"is no strict JSON: {error}"]) from None
    if not isinstance(value, dict) or (value.get("format"), value.get("version")) != (
        FORMAT,
        VERSION,
    ):
        raise BundleError(FILE, [f"is no {FORMAT} of version {VERSION}"])
    made, problems = _decode.decode(Derived, value)
    if made is None:
        raise BundleError(FILE, problems)
    return made


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what is wrong in the folder into one error that says what to do about it."""
    try:
        yield
    except BundleError as error:
        raise broken(folder, error.problems) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or error
        raise broken(folder, [f"cannot be read: {reason}"]) from error


def broken(folder: Path, told: Sequence[str]) -> BundleError:
    """Return the error for a derived folder: what is wrong with it, and what to do."""
    return BundleError(str(folder), [*map(printable, told), ADVICE])
