"""Derive graphs of a bundle's own for one target: lowered, proved, and put where `load` finds them.

What is there and whole is kept, so that a build that was interrupted goes on where it stopped.
"""

import hashlib
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from edgespark.engines.cpu_decoder import LoweredFile
from edgespark.engines.lowerings import Job, Lower, lowering_of
from edgespark.engines.proof import Proof, prove
from edgespark.engines.shelf import Shelf, open_shelf, own_shelf, told
from edgespark.engines.targets import TARGETS, Target
from edgespark.runtime import derived
from edgespark.runtime.bundle import CHUNK, Bundle
from edgespark.runtime.derived import Found
from edgespark.runtime.derived_record import Derived, problems, sources
from edgespark.runtime.derived_shelf import entries
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import (
    BundleError,
    CheckError,
    DeviceError,
    EdgesparkWarning,
    GraphRefused,
    UsageError,
)
from edgespark.runtime.manifest import File
from edgespark.runtime.verify import Form, Row, graphs, opened
from edgespark.runtime.wording import near

__all__ = ["Outcome", "State", "build", "check", "chosen", "prune"]

State: TypeAlias = Literal["made", "kept", "portable", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one graph.

    "made" and "kept" graphs lie in `folder`; a "kept" one was there already, and whole. A
    "portable" one has no other form for the target, or a slower one, and of a "failed" one nothing
    is left, as it did not run or computed something else, or its portable graph does: `reason`
    tells. `before` and `after` were measured in this build, a decoder's times at a single step
    behind a past.
    """

    job: Job
    state: State
    reason: str = ""
    folder: Path | None = None
    bytes: int = 0
    before: Row | None = None
    after: Row | None = None


def chosen(bundle: Bundle, precisions: Collection[str] = ()) -> list[Job]:
    """Return the graphs of the variants of these names (none: of all), each once.

    UsageError for a name that no variant has.
    """
    variants = {each.name: each.precisions for each in bundle.manifest.variants}
    for name in precisions:
        if name not in variants:
            known = ", ".join(variants)
            raise UsageError(f"no precision {name!r}{near(name, variants)}; there are: {known}")
    wanted = {pair for name in precisions or variants for pair in variants[name].items()}
    return [
        Job(bundle=bundle, part=part, graph=graph)
        for part, graph in graphs(bundle)
        if (part.name, graph.precision) in wanted
    ]


def build(jobs: Sequence[Job], target: Target, threads: int | None = None) -> Iterator[Outcome]:
    """Derive what the target has another form for: an outcome for each job, as it is done.

    Raises BundleError for a changed source of what is made, DeviceError where a graph cannot run
    here, OutputError where it cannot be written. Nothing is left half written, whatever happens.
    What is kept was hashed, and opened.
    """
    if not jobs:
        return
    with open_shelf(jobs[0].bundle) as shelf:
        for job in jobs:
            yield _one(job, target, shelf, threads)


def check(outcomes: Sequence[Outcome]) -> None:
    """Raise CheckError, which lists them, where graphs failed."""
    failed = [each.reason for each in outcomes if each.state == "failed"]
    if failed:
        raise CheckError("; ".join(failed))


def prune(bundle: Bundle) -> list[str]:
    """Remove from the bundle's own `derived/` what no graph of it has; return the names.

    OutputError where that cannot be written.
    """
    if not _stale(bundle):
        return []
    with own_shelf(bundle) as shelf:
        # again: another process may have removed them before this one held the lock
        return [name for name in _stale(bundle) if shelf.remove(name)]


def _stale(bundle: Bundle) -> list[str]:
    known = [each.lowering for each in TARGETS.values() if each.lowering]
    return [each.folder.name for each in entries(bundle, known) if each.stale]


def _one(job: Job, target: Target, shelf: Shelf, threads: int | None) -> Outcome:
    lower = lowering_of(target, job)
    if isinstance(lower, str):
        return Outcome(job=job, state="portable", reason=lower)
    found = _whole(job, target, shelf, threads)
    if found is not None:
        return Outcome(job=job, state="kept", folder=found.files.root, bytes=found.bytes)
    made = _lowered(job, target, lower, shelf, threads)
    if made.state != "made":
        shelf.remove(_name(job, target))
    return made


def _name(job: Job, target: Target) -> str:
    return derived.fingerprint(job.bundle, job.part, job.graph, target.lowering)


def _lowered(job: Job, target: Target, lower: Lower, shelf: Shelf, threads: int | None) -> Outcome:
    for file in (job.graph.file, *job.graph.data):
        job.bundle.verified(file)
    name = _name(job, target)
    context = job.bundle.manifest.language.context
    shelf.check_room(job.bytes, job.title)
    with shelf.draft(name) as draft:
        made = _written(job, lower, draft, shelf)
        if isinstance(made, str):
            return Outcome(job=job, state="portable", reason=made)
        record = _record(job, target, made, draft)
        if told := list(problems(record, job.part, job.graph, context)):
            return Outcome(job=job, state="failed", reason=f"{job.title}: {'; '.join(told)}")
        try:
            proof = _proved(job, target, record, draft, threads)
        except CheckError as error:
            return Outcome(job=job, state="failed", reason=str(error))
        measured = partial(Outcome, job=job, before=proof.before, after=proof.after)
        if reason := proof.fault or proof.slower:
            return measured(state="failed" if proof.fault else "portable", reason=reason)
        folder = shelf.place(draft, name, record)
    return measured(state="made", folder=folder, bytes=proof.after.bytes)


def _whole(job: Job, target: Target, shelf: Shelf, threads: int | None) -> Found | None:
    """Return what was derived of the graph before, if it is whole; None, with a warning, if not.

    It is left where it is until another one is made. BundleError or GraphRefused where what is
    broken lies in another folder than that which is written to: `load` would go on looking into
    that one. Other DeviceErrors are this machine's: what is there may be whole.
    """
    name = _name(job, target)
    try:
        found = derived.find(job.bundle, job.part, job.graph, target.lowering)
        if found is not None:
            _check(found, target, threads)
    except (BundleError, GraphRefused) as error:
        if derived.place(job.bundle, name) != shelf.folder / name:
            raise
        told = error.problems[0] if isinstance(error, BundleError) else str(error.__cause__)
        text = f"{shelf.folder / name}: {told}; it is made again"
        warnings.warn(text, EdgesparkWarning, stacklevel=4)
        return None
    return found


def _check(found: Found, target: Target, threads: int | None) -> None:
    """Hash what was derived, and open it, if this engine is new enough to tell."""
    ready = derived.program(found, threads)
    if not derived.usable(found.record):
        with opened(DEVICES[target.device], ready, found):
            pass


def _written(job: Job, lower: Lower, draft: Path, shelf: Shelf) -> LoweredFile | str:
    try:
        with told(shelf.folder):
            return lower(job, draft / Path(job.graph.file.path).name)
    except CheckError as error:
        return str(error)


def _record(job: Job, target: Target, made: LoweredFile, draft: Path) -> Derived:
    return Derived(
        lowering=target.lowering,
        part=job.part.name,
        precision=job.graph.precision,
        source=sources(job.graph),
        onnxruntime=made.onnxruntime,
        inputs=made.inputs,
        outputs=made.outputs,
        states=made.states,
        file=_file(draft / Path(job.graph.file.path).name),
        data=tuple(_file(draft / name) for name in made.data),
    )


def _proved(job: Job, target: Target, record: Derived, draft: Path, threads: int | None) -> Proof:
    """Measure the portable graph and what was made of it, on the part's reference probes.

    CheckError where what was made does not run.
    """
    if reason := derived.usable(record):
        raise DeviceError(f"{reason}: install that, or build on a machine that has it")
    found = derived.found_in(job.bundle, draft.resolve(), record, draft=True)
    form = Form(part=job.part, graph=job.graph, found=found)
    return prove(job.bundle, DEVICES[target.device], form, threads)


def _file(path: Path) -> File:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return File(path=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())
