"""The layers of a graph: each MatMul, Gemm and Conv, by the tensor that it gives."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgespark.runtime.manifest import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One product: `name` is the tensor that it gives, `work` its multiply-adds for one sample.

    `precision` is what it computes in; where that is wider than asked for, `reason` says why.
    """

    name: str
    operator: str
    work: int
    precision: Precision
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a change of precision did to the layers of a graph."""

    layers: tuple[Layer, ...] = ()

    def share(self, precision: Precision) -> float:
        """Return which part of the work, 0…1, is done in that precision (1 for a graph of none)."""
        return share(self.layers, precision)

    def kept(self) -> dict[str, str]:
        """Return the layers that stayed wider than asked for, each with the reason."""
        return {each.name: each.reason for each in self.layers if each.reason}


def share(layers: Iterable[Layer], precision: Precision) -> float:
    """Return which part of the work of these layers, 0…1, is done in that precision."""
    found = list(layers)
    total = sum(each.work for each in found)
    done = sum(each.work for each in found if each.precision == precision)
    return done / total if total else 1.0
