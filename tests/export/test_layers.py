"""A decoder proved layer by layer: what is told of the whole is what the whole graph does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgespark.calibration.ranges import PartCalibration, Provenance
from edgespark.engines.int8 import Int8
from edgespark.export.build import SLACK, Built, build
from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder, rotations
from edgespark.export.pack import pack
from edgespark.export.placing import Lowering, Traced, bound
from edgespark.export.precisions import LIMITS
from edgespark.export.recipes.decoders import streamed
from edgespark.export.stage import Stage
from edgespark.export.trace import compare
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.manifest import Precision

CONFIG = Llama(
    vocabulary=96,
    width=64,
    depth=6,
    heads=4,
    hidden=96,
    context=32,
    adapters=(),
    bottleneck=0,
    epsilon=1e-5,
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "int4")


def decoder() -> LlamaDecoder:
    torch.manual_seed(4)
    made = LlamaDecoder(CONFIG).eval()
    with torch.no_grad():
        for each in made.parameters():
            if each.dim() > 1:
                each.copy_(torch.randn(each.shape) / each.shape[1] ** 0.5)
    return made


@pytest.fixture(scope="module")
def whole() -> Stage:
    """Return the stage as it is where its weights fit the memory."""
    return streamed(decoder(), decoder().state_dict().__getitem__)[1]


@pytest.fixture(scope="module")
def bare() -> Traced:
    """Return the stage as it is where its weights are read one by one."""
    with torch.device("meta"):
        module = LlamaDecoder(CONFIG)
    module.cos, module.sin = rotations(CONFIG)
    return Traced(streamed(module, decoder().state_dict().__getitem__)[1])


@pytest.fixture(scope="module")
def proved(bare: Traced, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    return exported(bare, tmp_path_factory.mktemp("layers"), Lowering())


@pytest.fixture(scope="module")
def coded(
    bare: Traced, proved: tuple[Built, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Built, Path]:
    """Prove it with its keys and values as int8, of the peaks that its probes have."""
    held = proved[0].reference
    peaks = {
        state.new.name: max(float(np.abs(held[f"{k}.out.{state.new.name}"]).max()) for k in (0, 1))
        for state in bare.stage.states
    }
    lowering = Lowering(calibration=calibrated(peaks), how=Int8(smooth=False), cache=True)
    return exported(bare, tmp_path_factory.mktemp("coded"), lowering)


def calibrated(peaks: dict[str, float]) -> PartCalibration:
    return PartCalibration(
        part="decoder",
        provenance=Provenance(set="0" * 64, graph="0" * 64, preprocessing={}, samples={}),
        tensors={},
        peaks=peaks,
    )


def exported(traced: Traced, folder: Path, lowering: Lowering) -> tuple[Built, Path]:
    with pack(folder / "bundle", replace=False) as draft:
        built = build(traced, PRECISIONS, draft, None, lowering)
        (draft.root / "graphs").rename(folder / "graphs")
    return built, folder / "graphs"


@pytest.mark.parametrize("cache", ["proved", "coded"])
@pytest.mark.parametrize("index", range(len(PRECISIONS)), ids=PRECISIONS)
def test_the_error_is_that_of_the_whole_graph(
    index: int, cache: str, whole: Stage, request: pytest.FixtureRequest
) -> None:
    built, folder = request.getfixturevalue(cache)
    graph, measured = built.graphs[index], built.measured[index]
    own = replace(whole, states=graph.states)
    program = Program(
        where=graph.file.path,
        graph=(folder / Path(graph.file.path).name).read_bytes(),
        inputs=own.fed,
        outputs=own.given,
        folder=folder,
        data=tuple(Path(file.path).name for file in graph.data),
        exact=graph.precision == "fp16",
    )
    session = backend("onnxruntime").open_session(program)
    found = compare(probed(whole, built), session, graph.limit, graph.states)
    assert found.error == pytest.approx(measured.error, rel=0.2)
    assert found.reference.keys() == built.reference.keys()


def probed(stage: Stage, built: Built) -> Stage:
    """Return the stage with the probes that were run."""
    probes = tuple(
        {port.name: torch.from_numpy(built.reference[f"{k}.in.{port.name}"]) for port in stage.fed}
        for k in range(len(stage.probes))
    )
    return replace(stage, probes=probes)


def test_int8_states_are_of_the_graphs_of_integers_and_cost_little(
    proved: tuple[Built, Path], coded: tuple[Built, Path]
) -> None:
    kinds = [{(s.past.dtype, s.step is None) for s in each.states} for each in coded[0].graphs]
    assert kinds == [{("float32", True)}] * 2 + [{("int8", False)}] * 2
    for plain, narrow in zip(proved[0].measured[2:], coded[0].measured[2:], strict=True):
        assert narrow.error <= plain.error + 0.3


def test_a_graph_that_is_kept_is_bound_to_how_its_states_are(bare: Traced) -> None:
    plain, cache = (Lowering(calibration=calibrated({}), cache=each) for each in (False, True))
    assert bound(bare.stage, "int8", plain) != bound(bare.stage, "int8", cache)
    assert bound(bare.stage, "fp32", plain) == bound(bare.stage, "fp32", cache)


def test_pasts_that_were_drawn_are_cut_to_what_the_states_hold(coded: tuple[Built, Path]) -> None:
    for state in coded[0].graphs[2].states:
        assert state.step is not None
        past = coded[0].reference[f"0.in.{state.past.name}"]
        assert np.abs(past).max() <= 127 * state.step * (1 + 1e-6)


def test_errors_of_layers_add_up(proved: tuple[Built, Path]) -> None:
    for graph, measured in zip(proved[0].graphs, proved[0].measured, strict=True):
        assert len(measured.layers) == CONFIG.depth + 1
        assert max(measured.layers) <= LIMITS[graph.precision]
        wanted = SLACK * measured.error if graph.precision in ("int8", "int4") else 0
        assert graph.limit == max(LIMITS[graph.precision], wanted)
    assert proved[0].measured[-1].error > max(proved[0].measured[-1].layers)
