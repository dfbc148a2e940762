"""What a caller may ask for, checked before anything runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Language, Manifest, Variant
from edgespark.runtime.sampling import Sampling
from edgespark.runtime.wording import near

MOST_THREADS = 1024  # a backend starts them all at once, and is killed where it cannot
MOST_DRAFTED = 64  # each has logits of its own, and hardly ever are so many kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How an answer is generated; UsageError where a value cannot be.

    At most `max_tokens` (>= 1) ids are generated, and the text ends before the first of the `stop`
    strings, none of which may be empty. `forget` is how many of the last positions of a prompt with
    modalities are forgotten before the first new token is fed. Up to `prompt_lookup` tokens (0:
    none) are drafted from what stands before, and fed at once.
    """

    max_tokens: int = 64
    sampling: Sampling = field(default_factory=Sampling)
    stop: Sequence[str] = ()
    stream: bool = False
    forget: int = 0
    prompt_lookup: int = 0

    def __post_init__(self) -> None:
        """Refuse values of the wrong type or range."""
        check_count("max_tokens", self.max_tokens)
        check_count("prompt_lookup", self.prompt_lookup, MOST_DRAFTED, least=0)
        if isinstance(self.stop, str) or not isinstance(self.stop, Sequence):
            raise UsageError(f"stop takes several strings, such as ('###',); got {self.stop!r}")
        if not all(isinstance(each, str) and each for each in self.stop):
            raise UsageError(f"each stop string must be a str that is not empty; got {self.stop!r}")
        if not isinstance(self.stream, bool):
            raise UsageError(f"stream must be True or False, got {self.stream!r}")
        for name in ("max_tokens", "prompt_lookup"):  # a narrow integer of numpy's overflows later
            object.__setattr__(self, name, int(getattr(self, name)))


def check_count(name: str, value: int, most: float = math.inf, least: int = 1) -> None:
    """Refuse what is no integer from `least` to `most`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} must be an integer >= {least}, got {value!r}")
    if value > most:
        raise UsageError(f"{name} must be at most {most}, got {value}")


def decoding_named(language: Language, name: str | None) -> int:
    """Return how many positions the decoding of that name forgets (None: the right one, 0).

    UsageError for an unknown name; it lists the names.
    """
    if name is None:
        return 0
    if not isinstance(name, str) or name not in language.decodings:
        known = ", ".join(language.decodings) or "none"
        raise UsageError(f"no decoding {name!r}; this bundle has beside the right one: {known}")
    return language.decodings[name]


def variant_named(manifest: Manifest, precision: str, device: str) -> Variant:
    """Return the variant of that name ("auto": the one the bundle prefers on the device).

    UsageError for an unknown name; it lists the variants.
    """
    known = {variant.name: variant for variant in manifest.variants}
    wanted = manifest.preferred.get(device, "") if precision == "auto" else precision
    if isinstance(wanted, str) and wanted in known:
        return known[wanted]
    names = ", ".join(known)
    if precision == "auto":
        raise UsageError(f"this bundle prefers no precision on {device}; choose one of: {names}")
    raise UsageError(
        f"no precision {precision!r}{near(precision, known)}; this bundle has: {names}"
    )
