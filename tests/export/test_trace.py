"""A traced graph computes what its module computes, at every size its ports allow."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.recipes.decoders import BATCH, port, states
from edgespark.export.stage import Stage
from edgespark.export.trace import LIMIT, OPSET, compare, reference, trace
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Axis

SIZE = Llama(
    vocabulary=31, width=32, depth=2, heads=2, hidden=48, context=24, adapters=(0,), bottleneck=8
)


def session(stage: Stage, graph: bytes) -> Session:
    program = Program(
        where=stage.name,
        graph=graph,
        inputs=stage.fed,
        outputs=stage.given,
    )
    return backend("onnxruntime").open_session(program)


def probe(batch: int, past: int, sequence: int, select: list[int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch + 10 * past + 100 * sequence)
    made = {
        "inputs_embeds": torch.randn(batch, sequence, SIZE.width, generator=generator),
        "position_ids": torch.arange(past, past + sequence).repeat(batch, 1),
        "select": torch.tensor(select),
    }
    for state in states(SIZE):
        shape = (past, batch, SIZE.heads, SIZE.head_dim)
        made[state.past.name] = torch.randn(shape, generator=generator)
    return made


@pytest.fixture(scope="module")
def decoder() -> Stage:
    torch.manual_seed(0)
    sequence = Axis(name="sequence", low=1, high=SIZE.context)
    selected = Axis(name="selected", low=1, high=SIZE.context)
    return Stage(
        name="decoder",
        role="decoder",
        module=LlamaDecoder(SIZE).eval(),
        inputs=(
            port("inputs_embeds", BATCH, sequence, ("width", SIZE.width)),
            port("position_ids", BATCH, sequence, dtype="int64"),
            port("select", selected, dtype="int64"),
        ),
        outputs=(
            port("hidden", BATCH, selected, ("width", SIZE.width)),
            port("logits", BATCH, selected, ("vocabulary", SIZE.vocabulary)),
        ),
        states=tuple(states(SIZE)),
        probes=(probe(2, 3, 4, [1, 3]), probe(1, 0, 6, [5]), probe(3, 9, 1, [0])),
    )


@pytest.fixture(scope="module")
def graph(decoder: Stage) -> bytes:
    return trace(decoder)


def test_the_decoder_equals_its_module_with_and_without_past(decoder: Stage, graph: bytes) -> None:
    found = compare(decoder, session(decoder, graph))
    assert found.error <= LIMIT
    assert found.reference["0.in.past.key.0"].shape == (3, 2, 2, 16)
    assert found.reference["0.out.logits"].shape == (2, 2, 31)


def test_every_probe_becomes_the_reference(decoder: Stage, graph: bytes) -> None:
    found = compare(decoder, session(decoder, graph)).reference
    names = {f"in.{each.name}" for each in decoder.fed}
    names |= {f"out.{each.name}" for each in decoder.given}
    assert set(found) == {f"{k}.{name}" for k in range(3) for name in names}
    assert [found[f"{k}.in.past.key.0"].shape[:2] for k in range(3)] == [(3, 2), (0, 1), (9, 3)]


@pytest.mark.parametrize("sizes", [(1, 0, 1, [0]), (1, 23, 1, [0]), (4, 1, 20, [0, 19, 7])])
def test_sizes_that_were_never_traced_work(
    decoder: Stage, graph: bytes, sizes: tuple[int, int, int, list[int]]
) -> None:
    fed = probe(*sizes)
    wanted = reference(decoder, fed)
    got = session(decoder, graph).run({name: each.numpy() for name, each in fed.items()})
    for name, array in wanted.items():
        assert np.abs(got[name] - array).max() <= LIMIT * array.std()


def test_the_graph_names_its_dynamic_axes(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    shapes = {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in (*model.graph.input, *model.graph.output)
    }
    assert shapes["inputs_embeds"] == ["batch", "sequence", 32]
    assert shapes["past.key.1"] == ["past", "batch", 2, 16]
    assert shapes["new.value.1"] == ["sequence", "batch", 2, 16]
    assert shapes["logits"] == ["batch", "selected", 31]


def test_the_graph_is_plain_onnx_at_the_stated_opset(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]


def test_the_graph_says_nothing_of_the_machine_it_was_made_on(graph: bytes) -> None:
    assert b".py" not in graph


def test_a_graph_that_differs_is_refused_by_name_and_number(decoder: Stage, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    sizes = {SIZE.width, SIZE.vocabulary}
    table = next(each for each in model.graph.initializer if set(each.dims) == sizes)
    changed = numpy_helper.to_array(table) * np.float32(1.001)
    table.CopyFrom(numpy_helper.from_array(changed, table.name))
    with pytest.raises(CheckError, match=r"decoder: output 'logits'.*at most 1e-04"):
        compare(decoder, session(decoder, model.SerializeToString()))
