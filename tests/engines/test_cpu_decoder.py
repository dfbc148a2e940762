"""A lowered decoder computes what the portable one does, whatever its weights and states are."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgespark.engines.cpu_decoder import cpu_decoder, lower_decoder
from edgespark.engines.sourced import sourced
from edgespark.export.recipes.decoders import decoder_ports, states
from edgespark.runtime.errors import BundleError, CheckError
from edgespark.runtime.manifest import DType, Precision
from tests.engines.traced import (
    ADAPTED,
    KINDS,
    PLAIN,
    PRECISIONS,
    Appended,
    Form,
    Forms,
    InPlace,
    forms,
    inlined,
    stream,
)
from tests.engines.typed import Array, normal

CASES = [(precision, kind) for precision in PRECISIONS for kind in KINDS]
# of the logits, relative: integer products round what they read, and codes the rows they are
LIMITS: dict[tuple[Precision, DType], float] = {
    ("fp32", "float32"): 1e-5,
    ("fp32", "int8"): 0.02,
    ("int8", "float32"): 0.03,
    ("int8", "int8"): 0.03,
    ("int4", "float32"): 0.03,
    ("int4", "int8"): 0.03,
}
STRETCHES = ([7], [1] * 7, [5, 1, 1], [2, 3, 1, 4], [1, 9])


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    return forms(ADAPTED, tmp_path_factory.mktemp("adapted"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    return forms(PLAIN, tmp_path_factory.mktemp("plain"))


def apart(got: Array, wanted: Array) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def fed(runner: InPlace | Appended, rows: Array, counts: Sequence[int]) -> Iterator[Array]:
    """Give the logits of all rows, fed in stretches."""
    start = 0
    for count in counts:
        yield runner.feed(rows[start : start + count], range(count))["logits"][0]
        start += count


def logits(runner: InPlace | Appended, rows: Array, counts: Sequence[int]) -> Array:
    return np.concatenate(list(fed(runner, rows, counts)))


@pytest.mark.parametrize("counts", STRETCHES)
@pytest.mark.parametrize(("precision", "kind"), CASES)
def test_logits_are_those_of_the_portable_graph_in_whatever_stretches(
    precision: Precision,
    kind: DType,
    counts: list[int],
    adapted: Forms,
    tmp_path: Path,
) -> None:
    form = adapted[precision, kind]
    made = form.lowered()
    rows = normal(sum(counts), ADAPTED.width, seed=3)
    got = logits(InPlace(made, inlined(made.graph, tmp_path / "g.onnx")), rows, counts)
    wanted = logits(Appended(form, exact=True), rows, counts)
    assert apart(got, wanted) < LIMITS[precision, kind]


@pytest.mark.parametrize(("precision", "kind"), CASES)
def test_each_layer_gives_what_it_gave(
    precision: Precision,
    kind: DType,
    adapted: Forms,
    tmp_path: Path,
) -> None:
    form = adapted[precision, kind]
    made = form.lowered()
    # of the last layer only selected rows are left, and its result is the norm's
    ports = [stream(ADAPTED, layer) for layer in range(ADAPTED.depth - 1)]
    one = InPlace(made, inlined(made.graph, tmp_path / "g.onnx"), ports)
    two = Appended(form, ports, exact=True)
    for count in (6, 1, 3):
        rows = normal(count, ADAPTED.width, seed=count)
        got, wanted = one.feed(rows, [count - 1]), two.feed(rows, [count - 1])
        for name in (*(each.name for each in ports), "hidden", "logits"):
            assert apart(got[name], wanted[name]) < LIMITS[precision, kind]


@pytest.mark.parametrize("kind", KINDS)
def test_states_hold_the_rows_of_the_portable_graph_and_nothing_beyond(
    kind: DType, adapted: Forms, tmp_path: Path
) -> None:
    form = adapted["fp32", kind]
    made = form.lowered()
    one, two = InPlace(made, inlined(made.graph, tmp_path / "g.onnx")), Appended(form)
    for count in (5, 1, 2):
        rows = normal(count, ADAPTED.width, seed=count)
        one.feed(rows, [0])
        two.feed(rows, [0])
    limit = 1.0 if kind == "int8" else 1e-5
    for name, memory in one.memory.items():
        rows = two.past[name][:, 0].transpose(1, 0, 2).astype(np.float32)
        assert np.abs(memory[0, :, : one.total] - rows).max() <= limit
        assert not memory[:, :, one.total :].any()


def test_without_adapters_and_with_more_heads_it_is_the_same(plain: Forms, tmp_path: Path) -> None:
    form, rows = plain["int4", "int8"], normal(PLAIN.context, PLAIN.width)
    made = form.lowered()
    counts = [20, 1, 1, 16, 10]  # to the end of the context
    got = logits(InPlace(made, inlined(made.graph, tmp_path / "g.onnx")), rows, counts)
    assert apart(got, logits(Appended(form, exact=True), rows, counts)) < 0.03


def test_no_row_at_all_may_be_selected(adapted: Forms, tmp_path: Path) -> None:
    form, rows = adapted["int8", "float32"], normal(9, ADAPTED.width)
    made = form.lowered()
    model = inlined(made.graph, tmp_path / "g.onnx")
    one, two = InPlace(made, model), InPlace(made, model)
    assert one.feed(rows[:8], [])["logits"].shape == (1, 0, ADAPTED.vocabulary)
    two.feed(rows[:8], range(8))
    np.testing.assert_allclose(
        one.feed(rows[8:], [0])["logits"], two.feed(rows[8:], [0])["logits"], atol=1e-4
    )


def test_ports_are_those_of_one_sequence_with_its_states_in_place(
    adapted: Forms,
) -> None:
    made = adapted["int8", "int8"].lowered()
    graph = made.graph.model.graph
    shown = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    memory = [1, ADAPTED.heads, ADAPTED.context, ADAPTED.head_dim]
    assert list(shown) == [
        *(port.name for port in made.inputs),
        *(each.past.name for each in made.states),
        *(port.name for port in made.outputs),
        *(each.new.name for each in made.states),
    ]
    assert [port.name for port in made.inputs] == [
        "inputs_embeds",
        "select",
        "seqlens_k",
        "total_sequence_length",
    ]
    assert shown["inputs_embeds"] == [1, "sequence", ADAPTED.width]
    assert (shown["seqlens_k"], shown["total_sequence_length"]) == ([1], [])
    assert shown["logits"] == [1, "selected", ADAPTED.vocabulary]
    assert all(
        [axis.low for axis in port.axes] == [axis.high for axis in port.axes] == memory
        and shown[port.name] == memory
        and port.dtype == "int8"
        for each in made.states
        for port in (each.past, each.new)
    )
    assert {each.step for each in made.states} == {np.float32(3 / 127)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_left_are_the_operators_of_the_cpu(precision: Precision, adapted: Forms) -> None:
    product = "MatMul" if precision == "fp32" else "MatMulNBits"
    layers, adapters = ADAPTED.depth, len(ADAPTED.adapters)
    wanted = {
        product: 4 * layers + 2 * adapters + 1,
        "GroupQueryAttention": layers,
        "SimplifiedLayerNormalization": 1,
        "SkipSimplifiedLayerNormalization": 2 * layers,
        "SkipLayerNormalization": adapters,
        "QuickGelu": layers + adapters,
        "Split": layers,  # of gate and up
        "Mul": layers + adapters,
        "Gather": 2,
    }
    biases = {} if precision != "fp32" else {"Add": 2 * adapters}
    assert adapted[precision, "float32"].lowered().how == wanted | biases


def test_the_last_layer_works_on_selected_rows_alone(
    adapted: Forms,
) -> None:
    graph = adapted["int8", "float32"].lowered().graph.model.graph
    kinds = [node.op_type for node in graph.node]
    last = len(kinds) - kinds[::-1].index("Gather")
    assert kinds[last - 2] == "GroupQueryAttention"
    assert kinds[last:].count("MatMulNBits") == 6  # attention's, the MLP's, the adapter's, logits


def test_a_graph_in_a_file_is_lowered_into_files(
    adapted: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgespark.engines.sourced.INLINE", 1 << 10)
    form, rows = adapted["int4", "int8"], normal(3, ADAPTED.width)
    model = onnx.ModelProto()
    model.CopyFrom(form.model)  # which onnx would change
    onnx.save(
        model,
        tmp_path / "portable.onnx",
        save_as_external_data=True,
        location="portable.data",
        size_threshold=64,
    )
    inputs, outputs = decoder_ports(ADAPTED)
    where = tmp_path / "lowered.onnx"
    made = lower_decoder(tmp_path / "portable.onnx", form.states, inputs, outputs, 48, where)
    assert made.data == ("lowered.onnx.data",)
    assert made.onnxruntime == "1.27"
    kept = onnx.load(where, load_external_data=False)
    places = [each.external_data for each in kept.graph.initializer if each.external_data]
    assert {each.value for place in places for each in place if each.key == "location"} == {
        *made.data
    }
    other = form.lowered()
    assert (made.inputs, made.outputs, made.states) == (other.inputs, other.outputs, other.states)
    got = InPlace(other, onnx.load(where)).feed(rows, [2])
    wanted = InPlace(other, inlined(other.graph, tmp_path / "g.onnx")).feed(rows, [2])
    assert np.array_equal(got["logits"], wanted["logits"])


@pytest.mark.parametrize(
    ("case", "version"),
    [
        (("fp32", "float32"), "1.20"),
        (("int8", "float32"), "1.22"),
        (("int4", "float32"), "1.22"),
        (("fp32", "int8"), "1.27"),
    ],
)
def test_the_oldest_onnxruntime_is_that_of_the_operators_in_use(
    case: tuple[Precision, DType], version: str, adapted: Forms, tmp_path: Path
) -> None:
    form, path = adapted[case], tmp_path / "portable.onnx"
    onnx.save(form.model, path)
    ports = decoder_ports(ADAPTED)
    made = lower_decoder(path, form.states, *ports, 40, tmp_path / "lowered.onnx")
    assert (made.onnxruntime, made.data) == (version, ())
    assert {axis.high for each in made.states for axis in each.past.axes if axis.name == "context"}
    assert made.states[0].new.axes[2].high == 40


def test_a_context_beyond_the_tables_is_refused(
    adapted: Forms,
) -> None:
    form = adapted["fp32", "float32"]
    with pytest.raises(CheckError, match="rotates 48 positions; the context is to have 49"):
        cpu_decoder(sourced(form.model), form.states, *decoder_ports(ADAPTED), 49)


def test_states_that_belong_to_no_attention_are_named(
    adapted: Forms,
) -> None:
    form = adapted["fp32", "float32"]
    more = tuple(states(replace(ADAPTED, depth=4)))
    with pytest.raises(
        CheckError, match=r"around past\.key\.3, past\.value\.3: expected a Softmax"
    ):
        cpu_decoder(sourced(form.model), more, *decoder_ports(ADAPTED), 48)


def test_a_float16_graph_is_refused(adapted: Forms) -> None:
    form, model = adapted["fp32", "float32"], onnx.ModelProto()
    model.CopyFrom(form.model)
    half = onnx.numpy_helper.from_array(np.zeros((96, 96), np.float16), "half")
    model.graph.initializer.append(half)
    with pytest.raises(CheckError, match="half is float16"):
        cpu_decoder(sourced(model), form.states, *decoder_ports(ADAPTED), 48)


def test_what_is_no_graph_is_told(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(BundleError, match="no ONNX graph"):
        lower_decoder(path, (), (), (), 8, tmp_path / "lowered.onnx")
    assert not (tmp_path / "lowered.onnx").exists()


def test_attention_that_is_not_causal_is_refused(
    adapted: Forms,
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(adapted["fp32", "float32"].model)
    for node in model.graph.node:
        if node.op_type == "Greater":
            node.op_type = "Less"
    form = adapted["fp32", "float32"]
    with pytest.raises(CheckError, match="something else than causal attention with RoPE"):
        cpu_decoder(sourced(model), form.states, *decoder_ports(ADAPTED), 48)


def test_attention_of_another_scale_is_refused(
    adapted: Forms,
) -> None:
    form, model = adapted["fp32", "float32"], onnx.ModelProto()
    model.CopyFrom(form.model)
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        if array.shape == () and np.isclose(array, ADAPTED.head_dim**-0.5):
            each.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(1.1), each.name))
    with pytest.raises(CheckError, match=r"past\.key\.0.* computes something else"):
        cpu_decoder(sourced(model), form.states, *decoder_ports(ADAPTED), 48)


def test_attention_of_grouped_heads_is_refused(adapted: Forms) -> None:
    form = adapted["fp32", "float32"]
    fewer = tuple(states(replace(ADAPTED, heads=1, width=ADAPTED.head_dim)))
    with pytest.raises(CheckError, match="attention"):
        cpu_decoder(sourced(form.model), fewer, *decoder_ports(ADAPTED), 48)


def test_a_state_that_is_read_elsewhere_too_is_refused(
    adapted: Forms,
) -> None:
    form, model = adapted["fp32", "float32"], onnx.ModelProto()
    model.CopyFrom(form.model)
    (last,) = [node for node in model.graph.node if "logits" in node.output]
    last.output[0] = "before"
    model.graph.node.extend(
        [
            helper.make_node("ReduceSum", ["past.key.1"], ["sum"], keepdims=0),
            helper.make_node("Add", ["before", "sum"], ["logits"]),
        ]
    )
    with pytest.raises(CheckError, match=r"past\.key\.1 is read beside attention"):
        cpu_decoder(sourced(model), form.states, *decoder_ports(ADAPTED), 48)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_greedy_answers_of_the_small_model_part_only_where_two_tokens_are_as_good(
    precision: Precision, tiny: Path, tmp_path: Path
) -> None:
    size = replace(ADAPTED, vocabulary=1024, width=192, depth=4, heads=6, context=512)
    table = onnx.numpy_helper.to_array(
        onnx.load(tiny / "graphs" / "embedder.fp32.onnx").graph.initializer[0]
    )
    model = onnx.load(tiny / "graphs" / f"decoder.{precision}.onnx")
    form = Form(size=size, model=model, states=tuple(states(size)))
    made = form.lowered()
    lowered = inlined(made.graph, tmp_path / "g.onnx")
    for prompt in np.random.default_rng(0).integers(2, len(table), (6, 12)):
        one, two = InPlace(made, lowered), Appended(form)
        for got, wanted in zip(greedy(one, table, prompt), greedy(two, table, prompt), strict=True):
            if got.argmax() != wanted.argmax():  # all that follows differs too
                assert precision == "int8"
                assert wanted.max() - wanted[got.argmax()] <= 2 * np.abs(got - wanted).max()
                break


def greedy(runner: InPlace | Appended, table: Array, prompt: Array) -> Iterator[Array]:
    """Give the logits of each of some tokens."""
    rows = table[prompt]
    for _ in range(16):
        yield (told := runner.feed(rows, [len(rows) - 1])["logits"][0, 0])
        rows = table[[int(told.argmax())]]
