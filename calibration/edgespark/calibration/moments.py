"""Second moments of what a part's products read: a matrix per tensor, summed on a set, on disk.

They are gathered apart from ranges, since only rounding that weighs errors asks for them, and since
one of a tensor with c channels takes c² numbers.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgespark.calibration.chain import SampleSource, named, open_part, opened, shared
from edgespark.calibration.gather import How, run_through
from edgespark.calibration.sets import Sample
from edgespark.runtime.backends import Array, Program, Rebound, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import route_named
from edgespark.runtime.errors import InputError
from edgespark.runtime.model import Model
from edgespark.runtime.progress import track
from edgespark.runtime.stats import Record

HELD = 1 << 30
"""Bytes of sums that are in memory at once; what needs more is gathered in several runs of the set,
a single tensor excepted."""
WORD = 8  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments(Mapping[str, NDArray[np.float32]]):
    """The mean of x xᵀ over all positions, float32 [c, c], by the tensor whose rows are the x.

    Each is read from its file when it is asked for.
    """

    files: Mapping[str, Path]

    def __getitem__(self, tensor: str) -> NDArray[np.float32]:
        """Read those of a tensor; KeyError where none were gathered."""
        read: NDArray[np.float32] = np.load(self.files[tensor])
        return read

    def __iter__(self) -> Iterator[str]:
        """Give the tensors' names."""
        return iter(self.files)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Tensors of a part's float graph, each with its channels, which are its last axis."""

    part: str
    tensors: Mapping[str, int]


def gather_moments(
    bundle: Bundle, wanted: Wanted, samples: SampleSource, folder: Path, how: How | None = None
) -> Moments:
    """Run every sample as `gather` does, and write the second moments of the wanted tensors.

    Files go into `folder`, which must not be there. InputError names the sample for one that its
    modality cannot take, and the tensor for one that holds NaN or infinity, or was never computed.
    """
    how = how or How()
    folder.mkdir()
    files: dict[str, Path] = {}
    for group in _groups(wanted.tensors):
        some = Wanted(part=wanted.part, tensors=group)
        for name, mean in _summed(bundle, some, samples, how):
            files[name] = folder / f"{len(files)}.npy"
            np.save(files[name], mean)
    return Moments(files=files)


def _groups(tensors: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Cut the tensors into groups whose sums fit the memory."""
    group: dict[str, int] = {}
    for name, channels in tensors.items():
        if group and sum(WORD * c**2 for c in (*group.values(), channels)) > HELD:
            yield group
            group = {}
        group[name] = channels
    if group:
        yield group


def _summed(
    bundle: Bundle, wanted: Wanted, samples: SampleSource, how: How
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    sums = {name: _Sum(channels) for name, channels in wanted.tensors.items()}

    def opens(name: str, program: Program) -> Session:
        if name != wanted.part:
            return open_part(name, program)
        return _Summing(open_part(name, _showing(program, sums)), program, sums)

    with closing(_Chain(opened(bundle, opens=opens, threads=how.threads))) as chain:
        for modality in shared(bundle.manifest, samples.modalities):
            count = samples.count(modality)
            chosen = islice(samples.samples(modality), how.limit)
            total = count if how.limit is None else min(count, how.limit)
            with track(chosen, f"weigh {modality}", total, asked=how.progress) as shown:
                for sample in shown:
                    chain.run(modality, sample, how.record)
    for name, each in sums.items():
        yield name, each.mean(f"{wanted.part}: its tensor {name!r}")


class _Chain:
    """A chain that takes one sample after another."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def run(self, modality: str, sample: Sample, record: Record) -> None:
        """Run a sample; InputError names it where it cannot be taken."""
        with named(sample.where):
            ready = self._model.chain.prepared(modality, sample.value, record)
            route = route_named(self._model.manifest, modality)
            run_through(self._model, route, ready, sample.question, record)
        self._model.chain.clear()

    def close(self) -> None:
        """Free all parts."""
        self._model.drop(None)


class _Sum:
    """The sum of x xᵀ over all rows that came."""

    def __init__(self, channels: int) -> None:
        self._sums = np.zeros((channels, channels), np.float64)
        self._rows = 0

    def add(self, array: Array) -> None:
        """Take the rows of [..., channels]."""
        rows = array.reshape(-1, len(self._sums)).astype(np.float64)
        self._sums += rows.T @ rows
        self._rows += len(rows)

    def mean(self, where: str) -> NDArray[np.float32]:
        """Return the mean; InputError where nothing came, or what is not finite."""
        if not self._rows:
            raise InputError(f"{where} was never computed: give a set with samples")
        mean: NDArray[np.float32] = (self._sums / self._rows).astype(np.float32)
        if not np.isfinite(mean).all():
            raise InputError(f"{where} held NaN or infinity, or squares beyond float32")
        return mean


class _Summing(Rebound):
    """A part's session that adds up what some tensors hold, and gives what it gave."""

    def __init__(self, session: Session, program: Program, sums: Mapping[str, _Sum]) -> None:
        self._session = session
        self._ports = [port.name for port in program.outputs]
        self._sums = sums

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run once and look on: see `Session.run`."""
        made = self._session.run(inputs, outputs)
        there = {**inputs, **made}
        for name, each in self._sums.items():
            each.add(there[name])
        return {name: made[name] for name in self._ports}

    def close(self) -> None:
        """Free the session; the sums stay."""
        self._session.close()


def _showing(program: Program, names: Iterable[str]) -> Program:
    """Let a graph give these tensors too, where it does not take or give them already."""
    model = onnx.load_model_from_string(program.graph)
    there = {each.name for each in (*model.graph.output, *model.graph.input)}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in there
    )
    return replace(program, graph=model.SerializeToString())
