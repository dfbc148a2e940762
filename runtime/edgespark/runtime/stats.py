"""What the last call took, and on what it ran."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgespark.runtime.manifest import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """A report on one call.

    `stages` names each stage and what it took in milliseconds, in the order in which they first
    ran: `tokenise` made ids of prompts, `prepare.MODALITY` read and prepared an input, `load.PART`
    opened a part, `PART` ran it, `assemble` put all into one sequence, `decoder.prefill` read that,
    and `decoder.steps` embedded and ran the tokens after the first. Choosing tokens and making text
    of them is in no stage. `precision` is the variant, `precisions` is what that means for each
    part; `widened` are the parts that this device computes in float32 all the same. `valid` is the
    share (0…1) of each input that was measured, not masked. `prompt_tokens` and `new_tokens` count
    positions of the decoder; the first `reused_tokens` of the prompt's were not fed again, since
    the last sequence began with the same. `drafted` ids of the answer were guessed by prompt lookup
    and fed together, `accepted` of them were right. `cached` are the modalities whose tokens were
    still there from an earlier call. `threads` is None where the backend chooses. `lowered` are the
    opened parts that run a graph derived for this device, and `instructions` what its CPU has for
    products of int8 and of vectors, as far as the system says. `unsaturated` are the opened parts
    whose int8 products run by slower kernels with wider sums, since on this CPU, an x86 without
    VNNI, those of the others would saturate.
    """

    device: str
    precision: str
    precisions: dict[str, Precision]
    threads: int | None
    stages: dict[str, float] = field(default_factory=dict)
    valid: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    new_tokens: int = 0
    reused_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    cached: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    unsaturated: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """What is written down while a call runs."""

    stages: dict[str, float] = field(default_factory=dict)
    valid: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    new_tokens: int = 0
    reused_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    cached: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what the block takes, in milliseconds, to the stage of that name."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = (time.perf_counter() - begin) * 1e3
            self.stages[name] = self.stages.get(name, 0.0) + took
