"""Ranges of every tensor of a chain: one pass over a set, on the bundle's own float graphs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice

from edgespark.calibration.chain import (
    SampleSource,
    asked,
    named,
    open_part,
    opened,
    reached,
    reference_graph,
    shared,
)
from edgespark.calibration.ranges import PartCalibration, Provenance
from edgespark.calibration.sets import Sample
from edgespark.calibration.variety import Variety
from edgespark.calibration.watch import Prepare, Watched, watched
from edgespark.runtime.backends import Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import route_named
from edgespark.runtime.errors import BundleError, InputError
from edgespark.runtime.manifest import Part, Route
from edgespark.runtime.model import Model
from edgespark.runtime.options import Options
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.progress import track
from edgespark.runtime.stats import Record

TOKENS = 3
"""Of the answer to each sample: what the decoder reads from its own memory has ranges as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """How a set is run: the first `limit` samples of each modality (None: all).

    `record` is told what each stage took; `progress` shows the bar on any stderr.
    """

    limit: int | None = None
    threads: int | None = None
    progress: bool = False
    record: Record = field(default_factory=Record)


def gather(
    bundle: Bundle,
    samples: SampleSource,
    *,
    prepare: Prepare | None = None,
    how: How | None = None,
) -> dict[str, PartCalibration]:
    """Run each sample once and return, by part, what the tensors held.

    Every sample runs as for inference: through the preprocessing, its route's parts, and the
    decoder with the head's prompt and with the question. Memory does not grow with the set.
    `prepare` changes the form of graphs before they are watched, but for the decoder's. A part that
    none of the set's modalities reaches, and the embedder, have no calibration: see `unreached`.
    InputError that names the sample for one that its modality cannot take and where NaN or infinity
    comes up, and for a modality whose samples are all constant; EdgesparkWarning where one has a
    single sample, or copies of it, and for a modality that the bundle does not have.
    """
    how = how or How()
    modalities = shared(bundle.manifest, samples.modalities)
    counts = {each: _count(samples, each, how.limit) for each in modalities}
    sight = _Sight(bundle, prepare, how)
    try:
        work = _samples(samples, counts)
        with track(work, "calibrate", sum(counts.values()), asked=how.progress) as shown:
            for sample, variety in shown:
                sight.run(sample, variety)
        return {
            name: PartCalibration(
                part=name,
                provenance=provenance(bundle, samples, name, how.limit),
                tensors=each.statistics(),
                peaks=each.peaks(),
            )
            for name, each in sorted(sight.seen.items())
        }
    finally:
        sight.close()


class _Sight:
    """A chain whose parts are watched, all but the embedder: no range tells of its table."""

    def __init__(self, bundle: Bundle, prepare: Prepare | None, how: How) -> None:
        self._roles = {part.name: part.role for part in bundle.manifest.parts}
        self._prepare = prepare
        self._record = how.record
        self._model = opened(bundle, opens=self._open, threads=how.threads)
        self.seen: dict[str, Watched] = {}

    def run(self, sample: Sample, variety: Variety) -> None:
        """Run a sample of the modality whose variety is given."""
        with named(sample.where):
            model, record = self._model, self._record
            route = route_named(model.manifest, variety.modality)
            ready = model.chain.prepared(route.modality, sample.value, record)
            variety.add(ready.arrays)
            run_through(model, route, ready, sample.question, record)
            for name, each in self.seen.items():
                with record.stage(name):
                    each.settle()
        model.chain.clear()  # so that an equal sample counts as another one

    def close(self) -> None:
        self._model.drop(None)

    def _open(self, name: str, program: Program) -> Session:
        role = self._roles[name]
        if role == "embedder":
            return open_part(name, program)
        prepare = None if role == "decoder" else self._prepare
        try:
            changed, plan = watched(name, program, prepare)
            session = open_part(name, changed)
        except InputError:
            raise
        except UnicodeDecodeError as error:
            raise BundleError(program.where, ["no ONNX graph: a name in it is no UTF-8"]) from error
        except Exception:  # passes take sound graphs: this one tells itself what is wrong with it
            open_part(name, program).close()
            raise
        self.seen[name] = Watched(name, session, program, plan)
        return self.seen[name]


def run_through(
    model: Model, route: Route, ready: Prepared, prompt: str | None, record: Record
) -> None:
    """Run a prepared sample as for inference: its head's prompt, its question, and a few tokens.

    UsageError for a question that cannot be asked.
    """
    blocks = model.blocks({route.modality: ready}, record)
    if route.head is not None:
        model.scores({route.modality: route.head}, blocks, record)
    text = asked(model.manifest, route, prompt)
    embeddings = model.sequence(blocks, text, TOKENS, record)
    for _ in model.answer(embeddings, Options(max_tokens=TOKENS), record):
        pass


def provenance(
    bundle: Bundle, samples: SampleSource, part: str, limit: int | None = None
) -> Provenance:
    """Return what a part's calibration on that set comes from, as digests; nothing is run."""
    manifest = bundle.manifest
    through = reached(manifest, part)
    routes = [manifest.route(each) for each in samples.modalities if each in through]
    return Provenance(
        set=samples.digest,
        graph=_graph(manifest.part(part)),
        preprocessing={each.modality: _preprocessing(each) for each in routes},
        samples={each.modality: _count(samples, each.modality, limit) for each in routes},
    )


def unreached(bundle: Bundle, samples: SampleSource) -> dict[str, tuple[str, ...]]:
    """Return the parts that no sample of the set reaches, each with the modalities that would."""
    names = [part.name for part in bundle.manifest.parts]
    through = {name: reached(bundle.manifest, name) for name in names}
    return {
        name: modalities
        for name, modalities in through.items()
        if not {*modalities} & {*samples.modalities}
    }


def _count(samples: SampleSource, modality: str, limit: int | None) -> int:
    count = samples.count(modality)
    return count if limit is None else min(count, limit)


def _samples(samples: SampleSource, counts: Mapping[str, int]) -> Iterator[tuple[Sample, Variety]]:
    """Give each sample of each modality; a modality is judged as a whole when its last was run."""
    for modality, count in counts.items():
        variety = Variety(modality)
        for sample in islice(samples.samples(modality), count):
            yield sample, variety
        variety.check()


def _graph(part: Part) -> str:
    """Sum up a part's graph, and the files of its weights, in one digest."""
    graph = reference_graph(part)
    files = [graph.file.sha256, *(file.sha256 for file in graph.data)]
    return files[0] if not graph.data else hashlib.sha256(" ".join(files).encode()).hexdigest()


def _preprocessing(route: Route) -> str:
    plain = json.dumps(asdict(route.preprocessing), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
