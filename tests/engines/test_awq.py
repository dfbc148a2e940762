"""AWQ: the scaled weights compute the same, and keep more of it once they are rounded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, parser

from edgespark.calibration.statistics import Observer, Statistics
from edgespark.engines.absent import absent, transpose
from edgespark.engines.awq import best, groups, scaled
from edgespark.engines.forms import COLUMNS
from edgespark.engines.quantise import Grid
from edgespark.engines.streamed import store
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision
from tests.engines.typed import Array, normal, run
from tests.engines.weightless import run as run_stored

WIDTH, HIDDEN = 64, 128
SHAPES = {
    "norm.weight": (WIDTH,),
    "gate.weight": (HIDDEN, WIDTH),
    "up.weight": (HIDDEN, WIDTH),
    "up.bias": (HIDDEN,),
    "down.weight": (WIDTH, HIDDEN),
    "ln.weight": (WIDTH,),
    "ln.bias": (WIDTH,),
    "last.weight": (32, WIDTH),
}
TEXT = """g (float[n, 64] x) => (float[n, 32] y) {
    square = Mul (x, x) mean = ReduceMean <keepdims = 1> (square, axis) root = Sqrt (mean)
    over = Reciprocal (root) even = Mul (x, over) normed = Mul ("norm.weight", even)
    gate = MatMul (normed, "gate.weight") sig = Sigmoid (gate) silu = Mul (gate, sig)
    up0 = MatMul (normed, "up.weight") up = Add (up0, "up.bias") mixed = Mul (silu, up)
    down = MatMul (mixed, "down.weight") stream = Add (x, down)
    out = LayerNormalization (stream, "ln.weight", "ln.bias") low = MatMul (out, "last.weight")
    y = Relu (low)
}"""


def waiting() -> onnx.ModelProto:
    """Make a graph with RMSNorm, a gated MLP and LayerNorm, whose weights are still absent."""
    names = {f'"{name}"': name.replace(".", "_") for name in SHAPES}
    text = TEXT
    for name, plain in names.items():
        text = text.replace(name, plain)
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {text}')
    back = {plain: name.strip('"') for name, plain in names.items()}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = back.get(name, name)
    for name, shape in SHAPES.items():
        tensor = absent(name, TensorProto.FLOAT, shape)
        if len(shape) > 1:
            transpose(tensor)
        model.graph.initializer.append(tensor)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "axis"))
    return model


def weights(loud: float = 1.0) -> dict[str, Array]:
    """Draw weights; one channel of each product's input reaches `loud` times as far as others."""
    drawn: dict[str, Array] = {
        name: normal(*shape, seed=place) * shape[-1] ** -0.5
        for place, (name, shape) in enumerate(SHAPES.items())
    }
    for name in ("norm.weight", "ln.weight"):
        drawn[name] = 1 + drawn[name]
        drawn[name][:1] *= loud
    drawn["up.weight"][:1] *= loud
    return drawn


def seen(given: dict[str, Array], folder: Path, x: NDArray[np.float32]) -> dict[str, Statistics]:
    """Gather what the products read, of the float32 graph."""
    model = store(waiting(), given.__getitem__, folder, "seen.data", "fp32")
    onnx.load_external_data_for_model(model, str(folder))
    tensors = ("normed", "mixed", "out")
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    found, held = run(model, {"x": x}, optimised=True), {}
    for name in tensors:
        observer = Observer(-1)
        observer.observe(found[name])
        held[name] = observer.finish()
    return held


def error(
    source: Callable[[str], Array], precision: Precision, folder: Path, wanted: Array
) -> float:
    name = f"{len(list(folder.iterdir()))}.data"
    got = run_stored(
        store(waiting(), source, folder, name, precision), folder, {"x": normal(200, 64, seed=50)}
    )
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_scaled_weights_compute_the_same(precision: Precision, tmp_path: Path) -> None:
    given = weights(loud=30)
    source = scaled(given.__getitem__, waiting(), seen(given, tmp_path, normal(99, 64)), precision)
    changed = {name for name in SHAPES if not np.array_equal(source(name), given[name])}
    assert changed >= {"norm.weight", "gate.weight", "up.weight", "up.bias", "down.weight"}
    assert all((given[name] == each).all() for name, each in weights(loud=30).items())
    x = normal(200, 64, seed=50)
    model = store(waiting(), given.__getitem__, tmp_path, "plain.data", "fp32")
    wanted = run_stored(model, tmp_path, {"x": x})
    assert error(source, "fp32", tmp_path, wanted) < 1e-5


@pytest.mark.parametrize(("precision", "gain"), [("int4", 0.85), ("int8", 0.9)])
def test_where_channels_are_loud_less_error_is_left(
    precision: Precision, gain: float, tmp_path: Path
) -> None:
    given = weights(loud=30)
    source = scaled(given.__getitem__, waiting(), seen(given, tmp_path, normal(99, 64)), precision)
    model = store(waiting(), given.__getitem__, tmp_path, "plain.data", "fp32")
    wanted = run_stored(model, tmp_path, {"x": normal(200, 64, seed=50)})
    plain = error(given.__getitem__, precision, tmp_path, wanted)
    assert error(source, precision, tmp_path, wanted) < gain * plain


def test_what_has_no_outliers_stays_as_it_is(tmp_path: Path) -> None:
    given = weights()
    given["norm.weight"][:] = 1
    source = scaled(given.__getitem__, waiting(), seen(given, tmp_path, normal(99, 64)), "int8")
    assert np.array_equal(source("gate.weight"), given["gate.weight"])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_that_are_not_rounded_are_not_scaled(precision: Precision) -> None:
    given = weights(loud=30)
    source = scaled(given.__getitem__, waiting(), {}, precision)
    assert all(source(name) is array for name, array in given.items())


def test_matrices_that_share_an_input_share_its_scale() -> None:
    found = list(groups(waiting().graph, SHAPES))
    assert [(each.tensor, each.readers, each.divided) for each in found] == [
        ("normed", ("gate.weight", "up.weight"), ("norm.weight",)),
        ("mixed", ("down.weight",), ("up.weight", "up.bias")),
        ("out", ("last.weight",), ("ln.weight", "ln.bias")),
    ]


def test_what_others_read_is_not_scaled() -> None:
    model = waiting()
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("out", "up"))
    assert [each.tensor for each in groups(model.graph, SHAPES)] == ["normed"]
    assert not list(groups(model.graph, {"gate.weight", "down.weight"}))
    model.graph.node.append(onnx.helper.make_node("Neg", ["norm.weight"], ["more"]))
    assert not list(groups(model.graph, SHAPES))


def test_one_matrix_at_a_time_is_read(tmp_path: Path) -> None:
    given, asked = weights(loud=30), list[str]()

    def source(name: str) -> Array:
        asked.append(name)
        return given[name]

    made = scaled(source, waiting(), seen(given, tmp_path, normal(99, 64)), "int4")
    assert asked == ["gate.weight", "up.weight", "down.weight", "last.weight"]
    made("norm.weight")
    assert asked[-1] == "norm.weight"


@pytest.mark.parametrize("grid", [COLUMNS, Grid(least=-8, most=7, block=32)])
def test_a_channel_that_is_never_used_does_no_harm(grid: Grid) -> None:
    rows, matrix = normal(50, 64), normal(64, 8)
    rows[:, 3] = 0
    rows[:, 9] *= 100
    factors = best(rows, [(matrix, grid)])
    assert np.isfinite(factors).all()
    assert (factors > 0).all()
    assert (best(np.zeros((5, 64), np.float32), [(matrix, COLUMNS)]) == 1).all()


def test_statistics_that_lack_or_are_of_another_tensor_are_named(tmp_path: Path) -> None:
    given = weights()
    held = seen(given, tmp_path, normal(99, 64))
    with pytest.raises(InputError, match="no statistics of 'mixed'"):
        scaled(given.__getitem__, waiting(), {"normed": held["normed"]}, "int8")
    with pytest.raises(InputError, match=r"'mixed': got statistics of .* 128 channels"):
        scaled(given.__getitem__, waiting(), {**held, "mixed": held["normed"]}, "int8")
