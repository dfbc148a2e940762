"""What a chain makes of one sample: what the decoder knows, the head's scores, and the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from edgespark.calibration.chain import OpenPart, asked, open_part
from edgespark.runtime.backends import Array, Program, Rebound, Session
from edgespark.runtime.errors import DeviceError
from edgespark.runtime.manifest import Route
from edgespark.runtime.model import Model
from edgespark.runtime.options import Options
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.stats import Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcome:
    """What came out for one sample; `failed` where a part gave NaN or infinity, then nothing else.

    `hidden` [prompts, width] is the decoder's last hidden state behind the head's prompt, where the
    route has a head, and behind the question; `scores` [outputs] are the head's.
    """

    hidden: Array | None = None
    scores: Array | None = None
    answer: str = ""
    failed: bool = False


class Overflow(DeviceError):
    """A part gave NaN or infinity."""


class Tap:
    """Keeps the hidden states that a decoder gives, and stops at what is not finite."""

    def __init__(self, decoder: str, opens: OpenPart = open_part) -> None:
        """Look at the part `decoder`; parts are opened by `opens`."""
        self._decoder = decoder
        self._opens = opens
        self.hidden: list[Array] = []

    def open(self, name: str, program: Program) -> Session:
        """Open a part, looked at."""
        session = self._opens(name, program)
        return _Tapped(name, session, self.hidden if name == self._decoder else None)


class _Tapped(Rebound):
    def __init__(self, name: str, session: Session, hidden: list[Array] | None) -> None:
        self._name = name
        self._session = session
        self._hidden = hidden

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        made = self._session.run(inputs, outputs)
        for name, array in made.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Overflow(f"{self._name} gave {name} that are not finite")
        if self._hidden is not None:
            self._hidden.append(made["hidden"][0, 0].copy())
        return made

    def close(self) -> None:
        self._session.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A sample as it is run: its prepared input, what it is asked, and the tokens of the answer."""

    route: Route
    ready: Prepared
    question: str | None
    tokens: int


def outcome(model: Model, tap: Tap, what: Asked) -> Outcome:
    """Run a sample on a chain that was opened with the tap.

    UsageError where prompt and tokens do not fit the context.
    """
    record, route = Record(), what.route
    text = asked(model.manifest, route, what.question)
    tap.hidden.clear()
    scores = None
    try:
        blocks = model.blocks({route.modality: what.ready}, record)
        if route.head is not None:
            scores = model.scores({route.modality: route.head}, blocks, record)[route.modality]
        prompts = len(tap.hidden) + 1  # what follows are the answer's own tokens
        embeddings = model.sequence(blocks, text, what.tokens, record)
        answer = "".join(model.answer(embeddings, Options(max_tokens=what.tokens), record))
    except Overflow:
        return Outcome(failed=True)
    return Outcome(hidden=np.stack(tap.hidden[:prompts]), scores=scores, answer=answer)


def apart(outcomes: Sequence[Outcome], references: Sequence[Outcome]) -> float:
    """Return how far a modality's outcomes are from fp32's: the end-to-end error.

    The largest of these: the root mean square difference of the hidden states behind the head's
    prompt, of those behind the question, and of the head's scores, each over all samples and in
    standard deviations of fp32's. Infinite where a part gave NaN or infinity.
    """
    if any(each.failed for each in outcomes):
        return inf
    pairs = list(zip(_numbers(outcomes), _numbers(references), strict=True))
    return max(distance(made, wanted) for made, wanted in pairs)


def _numbers(outcomes: Sequence[Outcome]) -> list[Array]:
    """Return what is compared, each [samples, …]: hidden states of each prompt, and scores."""
    hidden = np.stack([each.hidden for each in outcomes if each.hidden is not None])
    scores = [each.scores for each in outcomes if each.scores is not None]
    return [*np.moveaxis(hidden, 1, 0), *([np.stack(scores)] if scores else [])]


def distance(made: Array, wanted: Array) -> float:
    """Return the root mean square difference in standard deviations of what was wanted."""
    wide = wanted.astype(np.float64)
    error, spread = float(np.sqrt(np.mean((made - wide) ** 2))), float(wide.std())
    return error / spread if spread else (inf if error else 0.0)
