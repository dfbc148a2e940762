"""The decoder's one sequence: put together, fed in chunks, and gone on with id by id."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.chain import Chain
from edgespark.runtime.decoder import PREFILL, STEPS, Decoder
from edgespark.runtime.errors import DeviceError
from edgespark.runtime.held import Held, ids_from
from edgespark.runtime.manifest import Language
from edgespark.runtime.parts import Parts
from edgespark.runtime.ports import check_finite
from edgespark.runtime.prompt import Piece, length
from edgespark.runtime.states import Arrays
from edgespark.runtime.stats import Record

CHUNK = 256
"""Positions that are fed at once: memory, and the wait for a cancelled answer, end there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A bound step of as many ids as `ids` [1, count] holds; `run` returns logits.

    `rows` [1, count, width] are the embeddings in between.
    """

    ids: Array
    rows: Array
    embed: Callable[[], None]
    run: Callable[[], Array]


class Loop:
    """Feeds the decoder, and knows what its positions hold.

    With `kept` a sequence goes on from where it differs from the last one, and is fed in chunks;
    without, each is fed anew and whole, so that one run of the decoder reads one sequence. So it is
    where a later run reads other numbers than the first did (`States.recodes`): what came before
    would change an answer.
    """

    def __init__(self, parts: Parts, chain: Chain, language: Language, *, kept: bool) -> None:
        """Allocate the decoder's states and the sequence; DeviceError if they do not fit."""
        self._parts = parts
        self._chain = chain
        self._language = language
        what = parts.source(language.decoder)
        self._in_place = what.found is not None
        self._decoder = Decoder(
            what.part,
            what.graph.states,
            language.context,
            in_place=self._in_place,
            overflow=what.overflow,
        )
        self._kept = kept and not self._decoder.recodes
        self._chunk = CHUNK if self._kept else language.context
        (embeds,) = (port for port in what.part.inputs if port.name == "inputs_embeds")
        self._width = embeds.axes[-1].high
        self._held = Held(language.context, self._width)
        self._steps: dict[int, Step] = {}

    @property
    def ids(self) -> list[int]:
        """What the positions hold: ids of text, and numbers below 0 for all else."""
        return self._held.ids(self._decoder.length)

    def put(self, pieces: Sequence[Piece], record: Record) -> Array:
        """Put a sequence together; return what is to be fed of it, float32 [1, positions, width].

        That is at least the last position. The next call writes there again.
        """
        record.prompt_tokens = length(pieces)
        shared = self._held.shared(pieces, self._decoder.length) if self._kept else 0
        begin = record.reused_tokens = min(shared, record.prompt_tokens - 1)
        self._decoder.keep(begin)
        ids = ids_from(pieces, begin)
        text = self._chain.embed(ids, record) if ids else np.empty((1, 0, self._width), np.float32)
        with record.stage("assemble"):
            return self._held.put(pieces, begin, text)

    def feed(self, rows: Array, record: Record, stage: str = PREFILL) -> Iterator[Arrays]:
        """Append float32 [1, positions, width]; give the outputs at the end of each chunk."""
        run = partial(self._parts.run, self._language.decoder, record, stage=stage)
        for begin in range(0, rows.shape[1], self._chunk):
            yield self._decoder.feed(rows[:, begin : begin + self._chunk], run)

    def reserve(self, count: int) -> None:
        """Take memory for steps of at most `count` ids; DeviceError if it does not fit."""
        if self._decoder.reserve(count):
            self._steps.clear()  # they hold memory that was smaller

    def forget(self, count: int) -> None:
        """Forget the last `count` positions."""
        self._decoder.forget(count)

    def step(self, ids: list[int], record: Record) -> Array:
        """Append ids; return the logits behind each, float32 [ids, vocabulary].

        The next call writes there again. DeviceError, which names the part, where a value is NaN.
        """
        self._held.note(self._decoder.length, ids)
        if not self._in_place:
            rows = self._chain.embed(ids, record, STEPS)
            run = partial(self._parts.run, self._language.decoder, record, stage=STEPS)
            logits: Array = self._decoder.feed(rows, run, len(ids))["logits"][0]
            return logits
        step = self._steps.get(len(ids)) or self._bound(len(ids), record)
        with record.stage(STEPS):
            step.ids[0] = ids
            step.embed()
            try:
                return step.run()
            except DeviceError:  # of what it was given, perhaps
                embedder = self._language.embedder
                reason = self._parts.source(embedder).overflow
                check_finite(embedder, {"embeds": step.rows}, reason)
                raise

    def unbind(self) -> None:
        """Let go of the embedder, which is about to be closed."""
        self._steps.clear()

    def _bound(self, count: int, record: Record) -> Step:
        """Bind a step of so many ids, from the ids to the logits, once for all that follow."""
        self.reserve(count)
        language, bind = self._language, self._parts.bind
        ids, rows = np.zeros((1, count), np.int64), np.zeros((1, count, self._width), np.float32)
        embed = bind(language.embedder, record, {"input_ids": ids}, {"embeds": rows})
        run = self._decoder.bound(rows, partial(bind, language.decoder, record))
        self._steps[count] = Step(ids=ids, rows=rows, embed=embed, run=run)
        return self._steps[count]


@dataclass(frozen=True, slots=True)
class Steps:
    """The loop's steps, noted in one call's record: see `decoder.Steps`."""

    loop: Loop
    record: Record

    def step(self, ids: list[int]) -> Array:
        """Append the ids; return the logits behind each of them."""
        return self.loop.step(ids, self.record)

    def forget(self, count: int) -> None:
        """Forget the last positions."""
        self.loop.forget(count)
