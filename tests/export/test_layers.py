"""A decoder proved layer by layer: what is told of the whole is what the whole graph does."""

from pathlib import Path

import pytest
import torch

from edgespark.export.build import SLACK, Built, build
from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder, rotations
from edgespark.export.pack import pack
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
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int4")


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
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    with torch.device("meta"):
        bare = LlamaDecoder(CONFIG)
    bare.cos, bare.sin = rotations(CONFIG)
    stage = streamed(bare, decoder().state_dict().__getitem__)[1]
    folder = tmp_path_factory.mktemp("layers")
    with pack(folder / "bundle", replace=False) as draft:
        built = build(stage, PRECISIONS, draft, None)
        (draft.root / "graphs").rename(folder / "graphs")
    return built, folder / "graphs"


@pytest.mark.parametrize("index", range(len(PRECISIONS)), ids=PRECISIONS)
def test_the_error_is_that_of_the_whole_graph(
    index: int, proved: tuple[Built, Path], whole: Stage
) -> None:
    built, folder = proved
    graph, measured = built.graphs[index], built.measured[index]
    program = Program(
        where=graph.file.path,
        graph=(folder / Path(graph.file.path).name).read_bytes(),
        inputs=whole.fed,
        outputs=whole.given,
        folder=folder,
        data=tuple(Path(file.path).name for file in graph.data),
    )
    session = backend("onnxruntime").open_session(program)
    found = compare(whole, session, graph.limit)
    assert found.error == pytest.approx(measured.error, rel=0.2)
    assert found.reference.keys() == built.reference.keys()


def test_errors_of_layers_add_up(proved: tuple[Built, Path]) -> None:
    for graph, measured in zip(proved[0].graphs, proved[0].measured, strict=True):
        assert len(measured.layers) == CONFIG.depth + 1
        assert max(measured.layers) <= LIMITS[graph.precision]
        wanted = SLACK * measured.error if graph.precision != "fp32" else 0
        assert graph.limit == max(LIMITS[graph.precision], wanted)
    assert proved[0].measured[-1].error > max(proved[0].measured[-1].layers)
