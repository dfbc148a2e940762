"""With keys and values as int8 codes a decoder says the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import parser

from edgespark.engines.graphs import check
from edgespark.engines.passes.int8_cache import Cached, int8_cache
from edgespark.engines.ports import rename
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.decoder import Decoder
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Axis, DType, File, Part, Port, State
from tests.engines.typed import Array, normal

WIDTH, HEADS, VOCABULARY, CONTEXT = 16, 2, 50, 40
TEXT = """g (float[batch, sequence, 16] inputs_embeds, int64[batch, sequence] position_ids,
    int64[selected] select, float[past, batch, 2, 8] past_key, float[past, batch, 2, 8] past_value)
    => (float[batch, selected, 16] hidden, float[batch, selected, 50] logits,
    float[sequence, batch, 2, 8] new_key, float[sequence, batch, 2, 8] new_value) {
    query = MatMul (inputs_embeds, wq) key = MatMul (inputs_embeds, wk)
    value = MatMul (inputs_embeds, wv)
    queries = Reshape (query, split) key2 = Reshape (key, split) value2 = Reshape (value, split)
    new_key = Transpose <perm = [1, 0, 2, 3]> (key2)
    new_value = Transpose <perm = [1, 0, 2, 3]> (value2)
    keys = Concat <axis = 0> (past_key, new_key) values = Concat <axis = 0> (past_value, new_value)
    turned = Transpose <perm = [0, 2, 1, 3]> (queries)
    keys2 = Transpose <perm = [1, 2, 3, 0]> (keys)
    values2 = Transpose <perm = [1, 2, 0, 3]> (values)
    scores = MatMul (turned, keys2) weights = Softmax (scores) mixed = MatMul (weights, values2)
    back = Transpose <perm = [0, 2, 1, 3]> (mixed) joined = Reshape (back, join)
    out = MatMul (joined, wo) stream = Add (inputs_embeds, out)
    hidden = Gather <axis = 1> (stream, select) logits = MatMul (hidden, head)
}"""
NAMES = {f"{end}_{kind}": f"{end}.{kind}.0" for end in ("past", "new") for kind in ("key", "value")}


def model() -> onnx.ModelProto:
    """Make a decoder of one layer of attention, to be fed one position at a time."""
    made = parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {TEXT}')
    arrays: dict[str, Array] = {
        "split": np.array([0, 0, HEADS, WIDTH // HEADS]),
        "join": np.array([0, 0, WIDTH]),
        "head": normal(WIDTH, VOCABULARY, seed=9),
        **{
            name: normal(WIDTH, WIDTH, seed=place) / 4
            for place, name in enumerate(("wq", "wk", "wv", "wo"))
        },
    }
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()
    )
    return check(rename(made, NAMES), 18)


def port(name: str, *sizes: str | int, dtype: DType = "float32") -> Port:
    ranges = [(0, 512) if isinstance(size, str) else (size, size) for size in sizes]
    axes = (
        Axis(name=str(size), low=low, high=high)
        for size, (low, high) in zip(sizes, ranges, strict=True)
    )
    return Port(name=name, dtype=dtype, axes=tuple(axes))


def part(width: int, vocabulary: int) -> Part:
    return Part(
        name="decoder",
        role="decoder",
        inputs=(
            port("inputs_embeds", "batch", "sequence", width),
            port("position_ids", "batch", "sequence", dtype="int64"),
            port("select", "selected", dtype="int64"),
        ),
        outputs=(
            port("hidden", "batch", "selected", width),
            port("logits", "batch", "selected", vocabulary),
        ),
        graphs=(),
        reference=File(path="none", bytes=0, sha256="0" * 64),
    )


def states(depth: int, heads: int, size: int) -> tuple[State, ...]:
    return tuple(
        State(
            past=port(f"past.{kind}.{layer}", "past", "batch", heads, size),
            new=port(f"new.{kind}.{layer}", "sequence", "batch", heads, size),
        )
        for layer in range(depth)
        for kind in ("key", "value")
    )


def opened(graph: onnx.ModelProto, decoder: Part, carried: tuple[State, ...]) -> Session:
    return backend("onnxruntime").open_session(
        Program(
            where="decoder",
            graph=graph.SerializeToString(),
            inputs=(*decoder.inputs, *(each.past for each in carried)),
            outputs=(*decoder.outputs, *(each.new for each in carried)),
            threads=1,
        )
    )


def steps(
    graph: onnx.ModelProto, decoder: Part, carried: tuple[State, ...], rows: NDArray[np.float32]
) -> Iterator[Array]:
    """Give the logits after each row, all with the runtime's own decoder."""
    session = opened(graph, decoder, carried)
    memory = Decoder(decoder, carried, 512)
    for row in rows:
        run = memory.feed(row[None, None], lambda given, outputs: session.run(given, outputs))
        yield run["logits"][0, 0].copy()


def peaks(graph: onnx.ModelProto, carried: tuple[State, ...], fed: Array) -> dict[str, float]:
    """Run a graph once, without a past, and give the peak of each new state."""
    decoder = part(fed.shape[-1], graph.graph.output[1].type.tensor_type.shape.dim[2].dim_value)
    rows, batch = fed.shape[1], len(fed)
    pasts = {
        each.past.name: np.zeros((0, batch, *(axis.low for axis in each.past.axes[2:])), np.float32)
        for each in carried
    }
    places = np.broadcast_to(np.arange(rows), (batch, rows))
    given = {"inputs_embeds": fed, "position_ids": places, "select": np.array([0]), **pasts}
    got = opened(graph, decoder, carried).run(given)
    return {each.new.name: float(np.abs(got[each.new.name]).max()) for each in carried}


@pytest.fixture
def cached() -> Cached:
    carried = states(1, HEADS, WIDTH // HEADS)
    return int8_cache(model(), carried, peaks(model(), carried, normal(1, 400, WIDTH)))


def test_the_graph_is_valid_and_has_int8_states(cached: Cached) -> None:
    check(cached.model, 18)
    ports = {value.name: value for value in (*cached.model.graph.input, *cached.model.graph.output)}
    names = {each.name for state in cached.states for each in (state.past, state.new)}
    assert names == set(NAMES.values())
    assert all(ports[n].type.tensor_type.elem_type == onnx.TensorProto.INT8 for n in names)
    assert {each.dtype for state in cached.states for each in (state.past, state.new)} == {"int8"}
    held = {
        each.name: float(onnx.numpy_helper.to_array(each))
        for each in cached.model.graph.initializer
        if each.name.endswith(".step")
    }
    assert held == {f"{state.new.name}.step": state.step for state in cached.states}


def test_what_was_given_is_as_it_was() -> None:
    given, carried = model(), states(1, HEADS, WIDTH // HEADS)
    int8_cache(given, carried, {"new.key.0": 1.0, "new.value.0": 1.0})
    assert given == model()


def test_step_by_step_the_logits_are_nearly_those_of_the_float_cache(cached: Cached) -> None:
    decoder, carried = part(WIDTH, VOCABULARY), states(1, HEADS, WIDTH // HEADS)
    rows = normal(CONTEXT, WIDTH, seed=5)
    wanted = np.array(list(steps(model(), decoder, carried, rows)))
    got = np.array(list(steps(cached.model, decoder, cached.states, rows)))
    assert 0 < np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)


def test_codes_are_rows_by_their_step_and_saturate() -> None:
    carried, x = states(1, HEADS, WIDTH // HEADS), normal(1, 4, WIDTH)
    decoder = part(WIDTH, VOCABULARY)
    places = {"position_ids": np.arange(4)[None], "select": np.array([3])}

    def new(graph: onnx.ModelProto, own: tuple[State, ...], dtype: type) -> Array:
        shape = (0, 1, HEADS, WIDTH // HEADS)
        empty: dict[str, Array] = {each.past.name: np.zeros(shape, dtype) for each in own}
        return opened(graph, decoder, own).run({"inputs_embeds": x, **places, **empty})["new.key.0"]

    wide = new(model(), carried, np.float32)
    peak = float(np.abs(wide).max()) / 2
    narrow = int8_cache(model(), carried, {"new.key.0": peak, "new.value.0": peak})
    codes = new(narrow.model, narrow.states, np.int8)
    assert codes.dtype == np.int8
    wanted = np.clip(np.rint(wide / np.float32(peak / 127)), -128, 127)
    assert np.abs(codes - wanted).max() <= 1
    assert {127, -128} & set(codes.ravel().tolist())


def test_greedy_answers_of_the_small_model_are_those_of_the_float_cache(tiny: Path) -> None:
    graph = onnx.load(tiny / "graphs" / "decoder.fp32.onnx")
    table = onnx.numpy_helper.to_array(
        onnx.load(tiny / "graphs" / "embedder.fp32.onnx").graph.initializer[0]
    )
    carried = states(4, 6, 32)
    drawn = np.random.default_rng(0).integers(2, len(table), (8, 60))
    narrow = int8_cache(graph, carried, peaks(graph, carried, table[drawn]))
    for prompt in drawn[:3, :10]:
        said = [
            greedy(each, own, table, prompt.tolist())
            for each, own in ((graph, carried), (narrow.model, narrow.states))
        ]
        assert said[0] == said[1]


def greedy(
    graph: onnx.ModelProto, carried: tuple[State, ...], table: Array, prompt: list[int]
) -> list[int]:
    decoder, memory = part(table.shape[1], len(table)), list[int](prompt)
    session, cache = opened(graph, decoder, carried), Decoder(decoder, carried, 512)
    feed = table[prompt][None]
    for _ in range(16):
        run = cache.feed(feed, lambda given, outputs: session.run(given, outputs))
        memory.append(int(run["logits"][0, 0].argmax()))
        feed = table[memory[-1:]][None]
    return memory[len(prompt) :]


@pytest.mark.parametrize("peak", [None, 0.0, -1.0, float("inf"), float("nan"), 1e-44])
def test_a_peak_that_is_none_is_named(peak: float | None) -> None:
    held = {"new.key.0": 1.0} | ({} if peak is None else {"new.value.0": peak})
    with pytest.raises(InputError, match=r"new\.value\.0: got a peak of .* calibrate on data"):
        int8_cache(model(), states(1, HEADS, WIDTH // HEADS), held)
