"""The decoder with its memory: what was fed stays in its states, and the next run goes on there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Part, State
from edgespark.runtime.memory import zeros
from edgespark.runtime.ports import OVERFLOW
from edgespark.runtime.sampling import check_logits
from edgespark.runtime.states import Appended, Arrays, InPlace, States, told

PREFILL = "decoder.prefill"  # the stage in which the prompt is fed
STEPS = "decoder.steps"  # and that in which its own tokens are


class Run(Protocol):
    """Runs the decoder part and fills the outputs."""

    def __call__(
        self, inputs: Mapping[str, Array], *, outputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Return the outputs by name."""


Bind = Callable[[Mapping[str, Array], Mapping[str, Array]], Callable[[], None]]
"""Binds all inputs and outputs of the decoder part, and returns what runs it on them."""


class Decoder:
    """Feeds embeddings to the decoder part, and keeps what it carries from run to run."""

    def __init__(
        self,
        part: Part,
        states: tuple[State, ...],
        context: int,
        *,
        in_place: bool = False,
        overflow: str = OVERFLOW,
    ) -> None:
        """Allocate the states for at most `context` positions; DeviceError if they do not fit.

        With `in_place` the graph updates its states itself (`InPlace`), else it gives new rows.
        `overflow` tells why logits are no numbers.
        """
        self._part = part
        self._overflow = overflow
        self._context = context
        made = InPlace if in_place else Appended
        self._states: States = made(part.name, states, context)
        self._outputs: Arrays = {}
        self._most = 0
        self._length = 0
        self.reserve(1)

    @property
    def length(self) -> int:
        """How many positions were fed and are kept."""
        return self._length

    @property
    def recodes(self) -> bool:
        """Whether a later run reads the rows of a run otherwise than that did: see `States`."""
        return self._states.recodes

    def keep(self, count: int) -> None:
        """Forget all but the first `count` positions."""
        self._length = max(min(self._length, count), 0)

    def forget(self, count: int) -> None:
        """Forget the last `count` positions: what is fed next takes their places."""
        self._length = max(self._length - count, 0)

    def feed(self, embeddings: Array, run: Run, last: int = 1) -> dict[str, Array]:
        """Append float32 [1, sequence, width]; return the outputs at the `last` positions of it.

        `hidden` is float32 [1, last, width], `logits` float32 [1, last, vocabulary]; both are
        written over by the next call. UsageError beyond the context, DeviceError where a value is
        NaN. After an error or an interrupt in a run the sequence is forgotten.
        """
        rows = embeddings.shape[1]
        end = self._end(rows)
        inputs, outputs = self._states.bound(self._length, end)
        fed = {"inputs_embeds": embeddings, "select": _places(rows)[rows - last :]}
        self._length = 0
        made = run(fed | inputs, outputs=self._given(last) | outputs)
        check_logits(made["logits"], self._part.name, self._overflow)
        self._length = end
        return made

    def bound(self, embeddings: Array, bind: Bind) -> Callable[[], Array]:
        """Bind a step that appends what lies in `embeddings`, float32 [1, rows, width].

        The step returns the logits at each of them, float32 [rows, vocabulary]; errors as `feed`.
        Only where the states are in place: no others are the same arrays in every run. Where many
        lengths are bound, `reserve` for the longest first: they share its memory.
        """
        rows = embeddings.shape[1]
        inputs, outputs = self._states.bound(0, rows)
        given = self._given(rows)
        fed = {"inputs_embeds": embeddings, "select": _places(rows)}
        run = bind(fed | inputs, given | outputs)
        logits: Array = given["logits"][0]

        def step() -> Array:
            end = self._end(rows)
            self._states.bound(self._length, end)
            self._length = 0
            run()
            if rows > 1 or not isfinite(logits.max()):  # NaN where any value is NaN
                check_logits(logits, self._part.name, self._overflow)
            self._length = end
            return logits

        return step

    def _end(self, rows: int) -> int:
        end = self._length + rows
        if end > self._context:
            raise UsageError(f"{end} positions do not fit the context of {self._context}")
        return end

    def reserve(self, rows: int) -> bool:
        """Take memory for the outputs at so many positions, and tell whether there was less.

        Steps that were bound before go on with the old one, which lasts as long as they do.
        DeviceError if it does not fit.
        """
        if rows <= self._most:
            return False
        self._outputs = {
            port.name: zeros((1, rows, port.axes[2].high), *told(self._part.name, port))
            for port in self._part.outputs
        }
        self._most = rows
        return True

    def _given(self, rows: int) -> Arrays:
        """Return memory for the outputs at so many positions, the same one each time."""
        self.reserve(rows)
        return {name: array[:, :rows] for name, array in self._outputs.items()}


def _places(rows: int) -> Array:
    return np.arange(rows, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When generation ends: at an id of `end`, or after `max_tokens` ids."""

    end: tuple[int, ...]
    max_tokens: int


class Steps(Protocol):
    """Feeds what an answer is made of."""

    def step(self, ids: list[int]) -> Array:
        """Append the ids; return the logits behind each of them, float32 [ids, vocabulary]."""

    def forget(self, count: int) -> None:
        """Forget the last positions."""


class Draft(Protocol):
    """Guesses how a sequence goes on."""

    def add(self, token: int) -> None:
        """Take the next id of the sequence."""

    def draft(self, most: int) -> list[int]:
        """Return at most `most` ids that may follow; often none."""


class Undrafted:
    """Guesses nothing."""

    def add(self, token: int) -> None:
        """Take no notice."""

    def draft(self, most: int) -> list[int]:  # noqa: ARG002 the interface
        """Return nothing."""
        return []


def generate(
    logits: Array,
    steps: Steps,
    choose: Callable[[Array], int],
    limits: Limits,
    guesses: Draft = Undrafted(),  # noqa: B008 it holds nothing
) -> Iterator[int]:
    """Give one id after the other, the first from the logits behind the sequence [1, vocabulary].

    `choose` picks an id from logits [vocabulary]. A draft is fed in one run with the id before it,
    and kept as far as the same ids are chosen: those given are the same without `guesses`, but
    where two are as likely up to the rounding between runs of one position and of several.
    """
    left, draft = limits.max_tokens, list[int]()
    while left:
        token = kept = 0
        for kept, row in enumerate(logits):
            token = choose(row)
            if token in limits.end:
                return
            left -= 1
            yield token
            guesses.add(token)
            if not left or token != (draft[kept] if kept < len(draft) else None):
                break
        if left:
            steps.forget(len(draft) - kept)
            draft = guesses.draft(left - 1)
            logits = steps.step([token, *draft])
