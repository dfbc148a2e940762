"""Which graph of a part runs on a device: the bundle's own, or one derived of it for the device."""

import warnings
from dataclasses import dataclass, replace

from edgespark.runtime import derived
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import Found
from edgespark.runtime.device import Device
from edgespark.runtime.errors import EdgesparkWarning
from edgespark.runtime.manifest import Graph, Part, Precision
from edgespark.runtime.ports import OVERFLOW

WIDEST: Precision = "fp32"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A part with the ports of the graph that runs for it, and that graph with its states.

    `found` is where the graph lies if it is a derived one: its states are kept in place then.
    """

    part: Part
    graph: Graph
    found: Found | None = None

    @property
    def overflow(self) -> str:
        """Why the graph gives NaN or infinity, and what to do then."""
        if self.found is not None:
            return (
                f"{OVERFLOW}, or {self.found.record.lowering} lowered it wrongly: try the portable "
                "graph (--portable, portable=True), and `edgespark verify`, which measures both"
            )
        if self.graph.precision == WIDEST:
            return (
                f"{OVERFLOW}, even in {WIDEST}: look at the input, and at what `edgespark verify` "
                "says of the part"
            )
        return f"{OVERFLOW}; try a wider precision"


def source(bundle: Bundle, part: Part, graph: Graph, device: Device | None = None) -> Source:
    """Return what runs for a part's graph on the device (None: the portable graph).

    BundleError for a broken record of a derived graph. EdgesparkWarning where one lies there that
    the installed engine is too old for: the portable one runs then.
    """
    lowering = "" if device is None else device.lowering
    found = derived.find(bundle, part, graph, lowering) if lowering else None
    if found is None:
        return Source(part=part, graph=graph)
    if reason := derived.usable(found.record):
        warnings.warn(
            f"{reason}: the portable graph runs, which is slower", EdgesparkWarning, stacklevel=2
        )
        return Source(part=part, graph=graph)
    made = found.record
    return Source(
        part=replace(part, inputs=made.inputs, outputs=made.outputs),
        graph=replace(graph, file=made.file, data=made.data, states=made.states),
        found=found,
    )
