"""What each layer adds to the error at the end of the chain when it alone is narrow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from edgespark.calibration.chain import SampleSource, Swap, named, reached, shared
from edgespark.calibration.outcomes import Asked, Outcome, apart, outcome
from edgespark.calibration.rig import Rig
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.progress import track
from edgespark.runtime.stats import Record

Make = Callable[[str, str], Swap]
"""Gives the graph of a part in which that layer alone is narrow."""

COUNT = 4
TOKENS = 1
"""Of an answer: the hidden state behind the question is made with the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Few:
    """By how many samples a layer is measured: by `count`, shared among its part's modalities.

    Each modality has one at least.
    """

    count: int = COUNT
    threads: int | None = None
    progress: bool = False


def sensitivities(
    bundle: Bundle,
    samples: SampleSource,
    layers: Mapping[str, Sequence[str]],
    make: Make,
    few: Few | None = None,
) -> dict[str, dict[str, float]]:
    """Return by part and layer the end-to-end error that it adds alone.

    `layers` are the layers of each part to measure. The error is that of `outcomes.apart`, for the
    modality that suffers most: in standard deviations of what the bundle's own graphs give; it is
    infinite where NaN or infinity comes out. A part that none of the set's modalities passes has no
    entry. InputError names a sample that cannot be taken.
    """
    few = few or Few()
    rig = Rig(bundle, threads=few.threads)
    try:
        bench = _Bench(rig, samples, few.count)
        pairs = [
            (part, layer)
            for part, names in layers.items()
            if bench.through(part)
            for layer in names
        ]
        added: dict[str, dict[str, float]] = {}
        with track(pairs, "sensitivity", len(pairs), asked=few.progress) as shown:
            for part, layer in shown:
                added.setdefault(part, {})[layer] = bench.error(part, make(part, layer))
        return added
    finally:
        rig.close()


class _Bench:
    """A few prepared samples of each modality, and what the own graphs make of them."""

    def __init__(self, rig: Rig, samples: SampleSource, count: int) -> None:
        self._rig = rig
        self._count = count
        self._asked: dict[str, list[Asked]] = {}
        self._wanted: dict[str, list[Outcome]] = {}
        for modality in shared(rig.model.manifest, samples.modalities):
            self._asked[modality] = list(self._read(samples, modality))
            self._wanted[modality] = [self._outcome(each) for each in self._asked[modality]]

    def through(self, part: str) -> list[str]:
        """Return the modalities that pass the part."""
        return [each for each in reached(self._rig.model.manifest, part) if each in self._asked]

    def error(self, part: str, swap: Swap) -> float:
        """Return the error of the modality that suffers most from that graph."""
        self._rig.exchange({part: swap})
        modalities = self.through(part)
        each = max(1, self._count // len(modalities))
        return max(
            apart(
                [self._outcome(what) for what in self._asked[modality][:each]],
                self._wanted[modality][:each],
            )
            for modality in modalities
        )

    def _read(self, samples: SampleSource, modality: str) -> list[Asked]:
        model, found = self._rig.model, []
        for sample in islice(samples.samples(modality), self._count):
            with named(sample.where):
                found.append(
                    Asked(
                        route=model.manifest.route(modality),
                        ready=model.chain.prepared(modality, sample.value, Record()),
                        question=sample.question,
                        tokens=TOKENS,
                    )
                )
        return found

    def _outcome(self, what: Asked) -> Outcome:
        return outcome(self._rig.model, self._rig.tap, what)
