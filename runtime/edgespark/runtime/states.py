"""Where a decoder's states lie, and how a run is given them: two forms behind one interface."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.manifest import Port, State
from edgespark.runtime.memory import commit, zeros

Arrays = dict[str, Array]

ADVICE = (
    "end other programs, run the bundle's own graphs (--portable, or portable=True), which take "
    "memory as a sequence grows, or export it with --int8-cache, which takes a quarter"
)


class States(Protocol):
    """The states of one sequence, in memory that is allocated once."""

    @property
    def recodes(self) -> bool:
        """Whether a run reads its own new rows as other numbers than later runs read them.

        How a sequence is cut into runs then changes what comes out by more than rounding.
        """

    def bound(self, begin: int, end: int) -> tuple[Arrays, Arrays]:
        """Return the inputs and outputs by which a run appends the positions begin … end - 1.

        The positions before them are read, whatever lies behind them is not.
        """


class Appended:
    """States of a portable graph, [context, batch 1, heads, head_dim] each.

    The rows that were fed are bound as `past`, the rows after them as `new`: the graph writes its
    new rows where the next step reads them, and nothing is copied.
    """

    def __init__(self, part: str, states: Sequence[State], context: int) -> None:
        """Allocate `context` rows for each state; DeviceError if they do not fit."""
        self._rows = [(each, room(part, each.past, context)) for each in states]

    @property
    def recodes(self) -> bool:
        """Rows that are kept as codes are floats in their own run: see `States.recodes`."""
        return any(state.step is not None for state, _ in self._rows)

    def bound(self, begin: int, end: int) -> tuple[Arrays, Arrays]:
        """Give positions by number, and each state's rows as views: see `States.bound`."""
        inputs: Arrays = {"position_ids": np.arange(begin, end, dtype=np.int64)[None]}
        outputs: Arrays = {}
        for state, rows in self._rows:
            inputs[state.past.name] = rows[:begin]
            outputs[state.new.name] = rows[begin:end]
        return inputs, outputs


class InPlace:
    """States of a lowered graph, [batch 1, heads, context, head_dim] each, that it updates itself.

    Past and new are one memory, and the same for every run: `bound` gives the same arrays each
    time, and only the two lengths in them change.
    """

    def __init__(self, part: str, states: Sequence[State], context: int) -> None:
        """Allocate `context` positions for each state; DeviceError if they do not fit."""
        whole = {}
        for each in states:
            heads, _, size = each.past.axes[1:]
            whole[each] = zeros((1, heads.high, context, size.high), *told(part, each.past))
        what = f"{part}: the keys and values of its context of {context} positions"
        commit(list(whole.values()), what, ADVICE)  # it does not grow with the sequence then
        self._before = np.zeros(1, np.int32)
        self._total = np.zeros((), np.int32)
        self._inputs: Arrays = {
            "seqlens_k": self._before,
            "total_sequence_length": self._total,
            **{each.past.name: array for each, array in whole.items()},
        }
        self._outputs: Arrays = {each.new.name: array for each, array in whole.items()}

    @property
    def recodes(self) -> bool:
        """Every run reads the same memory, in which the graph itself put the rows."""
        return False

    def bound(self, _begin: int, end: int) -> tuple[Arrays, Arrays]:
        """Write how long the sequence will be, and give all arrays: see `States.bound`."""
        self._before[0] = end - 1
        self._total[()] = end
        return self._inputs, self._outputs


def told(part: str, port: Port) -> tuple[str, str]:
    """Return the dtype of a port, and what to call its memory."""
    return port.dtype, f"{part}: its {port.name!r}"


def room(part: str, port: Port, rows: int) -> Array:
    """Return memory for a port with `rows` on its first axis; DeviceError if it does not fit."""
    # the other axes are fixed, or count the one sequence there is
    sizes = (axis.high if axis.static else 1 for axis in port.axes[1:])
    return zeros((rows, *sizes), *told(part, port))
