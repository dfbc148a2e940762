"""A decoder that keeps its states in place, fed with what a portable one is fed, and compared.

A portable decoder takes a batch and gives new rows, sequence-major; one that was lowered takes one
sequence, without positions, and writes into the memory of its past.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from edgespark.runtime.backends import Array, Session
from edgespark.runtime.codes import coded, decoded
from edgespark.runtime.derived_record import Derived
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import State
from edgespark.runtime.memory import zeros
from edgespark.runtime.reference import Probe

POSITIONS = "position_ids"


class Laid(Protocol):
    """A probe, laid out for a graph."""

    def run(self) -> object:
        """Run the graph on it: what takes time."""

    def outputs(self) -> dict[str, Array]:
        """Run, and return all outputs in the layout of the portable graph, codes as numbers."""


def laid(session: Session, probe: Probe, record: Derived | None) -> Laid:
    """Lay a probe out for the session's graph: a derived one, or the portable one (None)."""
    if record is None or not record.states:
        return _Whole(session, probe)
    return _InPlace(session, probe, record)


@dataclass(frozen=True, slots=True)
class _Whole:
    session: Session
    probe: Probe

    def run(self) -> dict[str, Array]:
        return self.session.run(self.probe.inputs)

    def outputs(self) -> dict[str, Array]:
        return decoded(self.run(), self.probe.states)


class _InPlace:
    def __init__(self, session: Session, probe: Probe, record: Derived) -> None:
        self._session, self._probe, self._record = session, probe, record
        self._feeds = feeds(record, probe)

    def run(self) -> None:
        for feed in self._feeds:
            self._session.run(feed.inputs, feed.outputs)

    def outputs(self) -> dict[str, Array]:
        self.run()
        return gathered(self._record, self._probe, self._feeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One sequence: every input and output of one run. Its states stand in both, as one memory."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


Feeds: TypeAlias = tuple[Feed, ...]


def feeds(record: Derived, probe: Probe) -> Feeds:
    """Lay out a probe for a lowered decoder: a feed per sequence of its batch.

    A state's past becomes the first rows of [1, heads, context, head_dim], the rest is zero.
    BundleError where positions are not 0, 1, …, as a lowered decoder counts them, or more than its
    context; DeviceError where the memory does not suffice.
    """
    batch, count, _ = probe.inputs["inputs_embeds"].shape
    first = record.states[0].past
    before, context = len(probe.inputs[first.name]), first.axes[2].high
    if before + count > context:  # the graph would write beyond its memory
        problem = f"a probe has {before + count} positions, its context holds {context}"
        raise BundleError(record.part, [problem])
    told = np.broadcast_to(np.arange(before, before + count), (batch, count))
    if not np.array_equal(probe.inputs[POSITIONS], told):
        problem = f"the positions of a probe are not {before} to {before + count - 1}"
        raise BundleError(record.part, [f"{problem}, which its lowering {record.lowering} needs"])
    return tuple(_feed(record, probe, row, before + count) for row in range(batch))


def gathered(record: Derived, probe: Probe, run: Feeds) -> dict[str, Array]:
    """Return what the feeds hold after their runs, in the layout of the portable graph.

    New rows are [sequence, batch, heads, head_dim], codes as the float64 that they stand for.
    """
    made = {
        port.name: np.concatenate([feed.outputs[port.name] for feed in run])
        for port in record.outputs
    }
    count = probe.inputs["inputs_embeds"].shape[1]
    for state in record.states:
        before = len(probe.inputs[state.past.name])
        rows = [feed.outputs[state.new.name][0, :, before : before + count] for feed in run]
        made[state.new.name] = np.stack(rows).transpose(2, 0, 1, 3)
    return decoded(made, record.states)


def _feed(record: Derived, probe: Probe, row: int, total: int) -> Feed:
    inputs = {
        "inputs_embeds": probe.inputs["inputs_embeds"][row : row + 1],
        "select": probe.inputs["select"],
        "seqlens_k": np.array([total - 1], np.int32),
        "total_sequence_length": np.array(total, np.int32),
    }
    selected = len(probe.inputs["select"])
    outputs: dict[str, Array] = {
        port.name: np.zeros((1, selected, port.axes[-1].high), port.dtype)
        for port in record.outputs
    }
    for state, past in zip(record.states, _pasts(record, probe, row), strict=True):
        memory = _memory(record.part, state, past)
        inputs[state.past.name] = outputs[state.new.name] = memory
    return Feed(inputs=inputs, outputs=outputs)


def _pasts(record: Derived, probe: Probe, row: int) -> Sequence[Array]:
    """Return each past of a sequence [past, heads, head_dim], as the lowered decoder keeps it."""
    names = [state.past.name for state in record.states]
    values = _values({name: probe.inputs[name][:, row] for name in names}, probe.states)
    made = coded(values, record.states)
    dtypes = {state.past.name: state.past.dtype for state in record.states}
    return [made[name].astype(dtypes[name]) for name in names]


def _values(pasts: Mapping[str, Array], states: Sequence[State]) -> dict[str, Array]:
    """Return pasts as numbers: codes of the portable graph by what they stand for."""
    steps = {state.past.name: np.float64(state.step) for state in states if state.step is not None}
    return {name: past * steps[name] if name in steps else past for name, past in pasts.items()}


def _memory(part: str, state: State, past: Array) -> Array:
    sizes = [axis.high for axis in state.past.axes]
    made = zeros(sizes, state.past.dtype, f"{part}: its {state.past.name!r}")
    made[0, :, : len(past)] = past.transpose(1, 0, 2)
    return made
