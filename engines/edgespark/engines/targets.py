"""What graphs are lowered for: one record per target, whose fields are how targets differ."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.integers import Integers
from edgespark.runtime.manifest import Precision
from edgespark.runtime.wording import near

__all__ = ["TARGETS", "Attention", "Operators", "Target", "readable", "target_named"]

Attention: TypeAlias = Literal["appended", "in place"]
Operators: TypeAlias = Literal["onnx", "contributed"]
ALL = "all precisions"
BLOCKS = 21  # the opset that int4 in blocks came with


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A kind of machine, and the forms in which it runs graphs best.

    `device` is the runtime's one that proves what is made, and loads it ("": this version makes
    nothing for the target). `opset` is the newest one that the target reads. `attention` is how a
    decoder's states are kept: rows that the graph gives and the runtime appends, or one memory in
    which the graph writes them itself, its weights then in blocks and its norms fused. `operators`
    are plain ONNX's, or also those that ONNX Runtime adds: products of unsigned codes, attention in
    one node. `block` and `signed` are what int4 may be: at most so many rows share a scale, which
    is of either sign or positive.
    """

    name: str
    opset: int
    device: str = ""
    attention: Attention = "appended"
    operators: Operators = "onnx"
    block: int = 128
    signed: bool = False

    @property
    def lowering(self) -> str:
        """Name the passes and their revision, under which `load` looks for what they made.

        "": this version makes nothing for the target.
        """
        return DEVICES[self.device].lowering if self.device else ""

    @property
    def widened(self) -> frozenset[Precision]:
        """Return the precisions computed in float32, of which another form saves nothing."""
        return DEVICES[self.device].widened if self.device else frozenset()


TARGETS = {
    each.name: each
    for each in (
        Target(
            name="cpu",
            opset=21,  # of ONNX Runtime 1.20, the oldest that the runtime takes
            device="cpu",
            attention="in place",
            operators="contributed",
            block=256,
            signed=True,
        ),
        Target(name="tensorrt-10.3", opset=20),  # JetPack 6.2
        Target(name="tensorrt-10.9", opset=22),
        Target(name="tensorrt-10.13", opset=24),  # JetPack 7
        Target(name="tensorrt-rtx", opset=24, signed=True),
    )
}
"""Opsets of TensorRT: its support matrix of ONNX operators, by version."""


def target_named(name: str, bundle: Bundle | None = None) -> Target:
    """Return the target that graphs can be lowered for by this version; for a bundle, or any.

    UsageError for an unknown name; DeviceError for one that nothing is made for yet.
    """
    if name not in TARGETS:
        known = ", ".join(TARGETS)
        raise UsageError(f"no target {name!r}{near(name, TARGETS)}; there are: {known}")
    target = TARGETS[name]
    if not target.lowering:
        made = ", ".join(each.name for each in TARGETS.values() if each.lowering)
        raise DeviceError(
            f"target {name!r}: this version builds nothing for it yet, only for {made}. It takes a "
            f"bundle's portable graphs up to opset {target.opset}: {readable(target, bundle)}"
        )
    return target


def readable(target: Target, bundle: Bundle | None = None) -> str:
    """Say which precisions of portable graphs the target reads, as far as known: the bundle's."""
    if target.opset >= BLOCKS:
        parts = () if bundle is None else bundle.manifest.parts
        weights = {graph.weights for part in parts for graph in part.graphs} - {None}
        unread = sorted(each.told for each in weights if each and not _reads(target, each))
        return f"all but int4 of {'; '.join(unread)}: {_limits(target)}" if unread else ALL
    return f"all but int4, whose blocks need opset {BLOCKS}; int8 has a scale a channel instead"


def _reads(target: Target, weights: Integers) -> bool:
    return weights.block <= target.block and (target.signed or not weights.signed)


def _limits(target: Target) -> str:
    scales = "" if target.signed else "positive scales alone, and "
    return f"it reads {scales}blocks of at most {target.block}"
