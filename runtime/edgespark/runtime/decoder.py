"""The decoder with its memory: state buffers that are allocated once and appended to in place."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Part, Port, State
from edgespark.runtime.memory import zeros
from edgespark.runtime.sampling import check_logits

PREFILL = "decoder.prefill"  # the stage in which the prompt is fed


class Run(Protocol):
    """Runs the decoder part and fills the outputs."""

    def __call__(
        self, inputs: Mapping[str, Array], *, outputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Return the outputs by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When generation ends: at an id of `end`, or after `max_tokens` ids."""

    end: tuple[int, ...]
    max_tokens: int


class Decoder:
    """Feeds embeddings to the decoder part and keeps its states, [context, 1, …] each.

    The rows that were fed are bound as `past`, the rows after them as `new`: the graph writes its
    new rows where the next step reads them, and nothing is copied.
    """

    def __init__(self, part: Part, states: tuple[State, ...], context: int) -> None:
        """Allocate the states for at most `context` positions; DeviceError if they do not fit."""
        self._name = part.name
        self._context = context
        self._states = [(s, self._room(s.past, context)) for s in states]
        self._given = {port.name: self._room(port, 1) for port in part.outputs}
        self._length = 0

    def _room(self, port: Port, rows: int) -> Array:
        return zeros((rows, *_sizes(port)), port.dtype, f"{self._name}: its {port.name!r}")

    def restart(self) -> None:
        """Forget the sequence; the memory is kept."""
        self._length = 0

    def forget(self, count: int) -> None:
        """Forget the last `count` positions: what is fed next takes their places."""
        self._length = max(self._length - count, 0)

    def feed(self, embeddings: Array, run: Run) -> dict[str, Array]:
        """Append float32 [1, sequence, width]; return the outputs at its last position.

        `hidden` is float32 [1, 1, width], `logits` float32 [1, 1, vocabulary]; both are written
        over by the next call. UsageError beyond the context, DeviceError where a value is NaN.
        """
        begin, end = self._length, self._length + embeddings.shape[1]
        if end > self._context:
            raise UsageError(f"{end} positions do not fit the context of {self._context}")
        inputs: dict[str, Array] = {
            "inputs_embeds": embeddings,
            "position_ids": np.arange(begin, end, dtype=np.int64)[None],
            "select": np.array([end - begin - 1], np.int64),
        }
        outputs = dict(self._given)
        for state, rows in self._states:
            inputs[state.past.name] = rows[:begin]
            outputs[state.new.name] = rows[begin:end]
        made = run(inputs, outputs=outputs)
        check_logits(made["logits"], self._name)
        self._length = end
        return made


def generate(
    feed: Callable[[Array, str], Mapping[str, Array]],
    embeddings: Array,
    embed: Callable[[list[int]], Array],
    choose: Callable[[Array], int],
    limits: Limits,
) -> Iterator[int]:
    """Feed the sequence, float32 [1, sequence, width], and give one id after the other.

    `feed` takes embeddings and a stage's name and returns the outputs at the last position; `embed`
    gives float32 [1, 1, width] for one id; `choose` picks an id from logits [vocabulary].
    """
    step = feed(embeddings, PREFILL)
    for left in reversed(range(limits.max_tokens)):
        token = choose(step["logits"][0, 0])
        if token in limits.end:
            return
        yield token
        if left:
            step = feed(embed([token]), "decoder.steps")


def _sizes(port: Port) -> tuple[int, ...]:
    # the first axis is the caller's; the others are fixed, or count the one sequence there is
    return tuple(axis.high if axis.static else 1 for axis in port.axes[1:])
