"""A lowered graph beside the portable one: how far apart what they give is, and which is faster."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from edgespark.runtime import derived
from edgespark.runtime.backends import Program
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import Device
from edgespark.runtime.errors import BundleError, CheckError, GraphRefused
from edgespark.runtime.in_place import Laid, laid
from edgespark.runtime.manifest import Role
from edgespark.runtime.parts import program
from edgespark.runtime.reference import Probe, probes
from edgespark.runtime.verify import Form, Row, distance, opened, row, shortest

__all__ = ["Proof", "prove"]

LEAST, MOST = 5, 40  # turns of both graphs
SECONDS = 1.0  # after which no more than the least turns are taken
SLOWER = 1.1  # of the portable time: less is noise
NOTICED = 0.02  # milliseconds: what one call costs besides
FLOOR = 1e-3  # standard deviations: float32 summed in another order, with a wide margin

# What a lowering may add, in shares of the error that the precision itself costs. Encoders were
# found to give the same but for 1e-6; a code that rounds the other way moves them a little more. A
# decoder's products round activations to 8 bits, and int8 states give new rows as codes to the step
# that makes them too: up to 0.9 of that error was found.
SHARE: Mapping[Role, float] = {"decoder": 2.0}
OTHERS = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """The portable graph (`before`) and the lowered one (`after`), measured on the same probes.

    `apart` is the greatest difference between what both give, in standard deviations of what the
    portable one gives, and `margin` what is allowed. Times are taken by turns, but a decoder's.
    """

    before: Row
    after: Row
    apart: float
    margin: float
    timed: bool

    @property
    def fault(self) -> str:
        """Say in which way the lowered graph computes something else; "" where it does not.

        Where it is the portable graph that does, that is said.
        """
        if self.after.ok and self.apart <= self.margin:
            return ""
        if not self.before.ok:
            return (
                f"{self.before.title}: the portable graph itself is {self.before.error:.1e} "
                "standard deviations from PyTorch on this machine, beyond its limit of "
                f"{self.before.limit:.1e}: nothing is derived of it; see `edgespark verify`"
            )
        if not self.after.ok:
            told = (
                f"{self.after.error:.1e} standard deviations from PyTorch, beyond its limit of "
                f"{self.after.limit:.1e}"
            )
        else:
            told = (
                f"{self.apart:.1e} standard deviations from the portable graph, which is "
                f"{self.before.error:.1e} from PyTorch: a lowering may add {self.margin:.1e}"
            )
        return f"{self.after.title}: {told}; it was thrown away, and the portable graph stays"

    @property
    def slower(self) -> str:
        """Say by how much the lowered graph is clearly slower; "" where it is not."""
        before, after = self.before.ms, self.after.ms
        if not self.timed or after <= max(SLOWER * before, before + NOTICED):
            return ""
        return f"the lowered graph was slower on this machine by more than {SLOWER - 1:.0%}"


def prove(bundle: Bundle, device: Device, found: Form, threads: int | None) -> Proof:
    """Run a lowered graph and the portable one on the part's reference probes.

    Raises as `verify.row`; CheckError where it is the lowered graph's own fault that it does not
    run, DeviceError where this machine is short of something.
    """
    given = replace(found, found=None)
    before = row(bundle, device, given, threads, shortest)
    try:
        after = row(bundle, device, found, threads, shortest)
    except (BundleError, GraphRefused) as error:
        raise CheckError(
            f"{before.title} {found.name}: what was made does not run: {error}; it was thrown "
            "away, and the portable graph stays"
        ) from error
    reference = probes(bundle, found.part, found.graph)
    record = None if found.found is None else found.found.record
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(opened(device, _program(bundle, each, threads)))
            for each in (given, found)
        )
        apart = max(
            _apart(probe, laid(one, probe, None), laid(other, probe, record)) for probe in reference
        )
        timed = found.part.role != "decoder"  # whose other form is how states are kept
        if timed:
            probe = shortest(reference)
            runs = [laid(one, probe, None).run, laid(other, probe, record).run]
            times = by_turns(runs)
            before, after = replace(before, ms=times[0]), replace(after, ms=times[1])
    margin = max(FLOOR, SHARE.get(found.part.role, OTHERS) * before.error)
    return Proof(before=before, after=after, apart=apart, margin=margin, timed=timed)


def by_turns(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Time runs by turns: milliseconds, the median of the LEAST shortest of each.

    Each has run before.
    """
    taken: list[list[float]] = [[] for _ in runs]
    begin = time.perf_counter()
    for turn in range(MOST):
        if turn >= LEAST and time.perf_counter() - begin > SECONDS:
            break
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(sorted(times)[:LEAST]) for times in taken]


def _program(bundle: Bundle, form: Form, threads: int | None) -> Program:
    if form.found is not None:
        return derived.program(form.found, threads)
    return program(bundle, form.part, form.graph, threads)


def _apart(probe: Probe, portable: Laid, lowered: Laid) -> float:
    wanted, got = portable.outputs(), lowered.outputs()
    return max(distance(got[name], wanted[name]) for name in probe.outputs)
