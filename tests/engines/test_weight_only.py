"""Each precision stores weights in its form, and its graph computes nearly the same."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgespark.engines.absent import absent
from edgespark.engines.quantise import (
    Grid,
    block_wise,
    laid,
    nearest,
    packed,
    per_channel,
    widened,
)
from edgespark.engines.streamed import store
from edgespark.engines.weight_only import PRECISIONS, lower
from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Precision
from tests.engines.weightless import SHAPES, Array, expected, run, weightless, weights

IDS = np.arange(24).reshape(-1)
ERRORS: dict[Precision, float] = {"fp32": 1e-6, "fp16": 2e-3, "int8": 0.02, "int4": 0.15}
STEPS: dict[Precision, float] = {"int8": 0.01, "int4": 0.11}  # of the weights themselves
CODES = {"table": "INT8", "table.zero": "INT8", "head.weight": "INT8"}
KINDS: dict[Precision, dict[str, str]] = {
    "fp32": {},
    "fp16": dict.fromkeys(SHAPES, "FLOAT16"),
    "int8": CODES | dict.fromkeys(("up.weight", "narrow.weight"), "INT8"),
    "int4": CODES | dict.fromkeys(("up.weight", "narrow.weight"), "INT4"),
}


def stored(precision: Precision, folder: Path, given: dict[str, Array]) -> onnx.ModelProto:
    return store(weightless(), given.__getitem__, folder, "g.data", precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_graph_computes_nearly_the_same(precision: Precision, tmp_path: Path) -> None:
    drawn = weights()
    model = stored(precision, tmp_path, drawn)
    wanted = expected(drawn, IDS)
    error = np.linalg.norm(run(model, tmp_path, {"ids": IDS}) - wanted) / np.linalg.norm(wanted)
    assert error < ERRORS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_what_products_and_tables_read_changes_its_form(
    precision: Precision, tmp_path: Path
) -> None:
    model = stored(precision, tmp_path, weights())
    found = {
        each.name: TensorProto.DataType.Name(each.data_type) for each in model.graph.initializer
    }
    narrow = {name: kind for name, kind in found.items() if kind != "FLOAT"}
    assert narrow == KINDS[precision]
    assert model.opset_import[0].version == (21 if precision == "int4" else 18)
    assert {each.domain for each in model.opset_import} == {""}


@pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 31),
    reason="older ones read int8 in another way",
)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_onnxruntime_reads_them_with_its_own_kernels(precision: Precision, tmp_path: Path) -> None:
    path = tmp_path / "optimised.onnx"
    run(stored(precision, tmp_path, weights()), tmp_path, {"ids": IDS}, str(path))
    kinds = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    assert kinds.count("MatMulNBits") == 3
    assert kinds[:4] == ["Gather", "Gather", "DequantizeLinear", "Mul"]  # of rows, not of the table
    assert kinds.count("DequantizeLinear") == 1


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_what_stands_for_a_weight_is_what_onnx_says_of_its_codes(
    precision: Precision, tmp_path: Path
) -> None:
    drawn = weights()
    model = onnx.load_from_string(stored(precision, tmp_path, drawn).SerializeToString())
    onnx.load_external_data_for_model(model, str(tmp_path))
    found = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    codes, scales = (found[f"up.weight{end}"].astype(np.float32) for end in ("", ".scale"))
    wide = codes * np.broadcast_to(scales, (len(codes), scales.shape[-1]))
    error = np.linalg.norm(wide - drawn["up.weight"].T) / np.linalg.norm(drawn["up.weight"])
    assert error < STEPS[precision]


def test_int4_falls_on_int8_where_no_block_divides_the_rows(tmp_path: Path) -> None:
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["h"]),
                helper.make_node("Relu", ["h"], ["y"]),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 24])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
            [absent("w", TensorProto.FLOAT, [24, 7])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    drawn = np.random.default_rng(0).standard_normal((24, 7)).astype(np.float32)
    made = store(model, {"w": drawn}.__getitem__, tmp_path, "w.data", "int4")
    assert made.graph.initializer[0].data_type == TensorProto.INT8
    x = np.eye(24, dtype=np.float32)
    assert np.abs(run(made, tmp_path, {"x": x}) - np.maximum(drawn, 0)).max() < 0.05


def test_a_graph_whose_operators_change_their_meaning_is_not_raised() -> None:
    model = weightless()
    model.graph.node.append(helper.make_node("GridSample", ["a", "b"], ["c"]))
    with pytest.raises(CheckError, match="GridSample means something else at opset 21"):
        lower(model, "int4")


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_codes_that_were_int8_come_back(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.integers(-127, 128, (rows * 16, columns)).astype(np.int8)
    codes[0] = 127
    scales = generator.uniform(0.5, 2, columns).astype(np.float32)
    found, steps = per_channel(codes * scales)
    assert (found == codes).all()
    np.testing.assert_allclose(steps, scales, rtol=1e-6)


@pytest.mark.parametrize("peak", [7, -7, -8])
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_codes_that_were_int4_come_back(peak: int, seed: int, blocks: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.integers(-7, 8, (blocks * 32, columns)).astype(np.int8)
    codes[::32] = peak
    scales = generator.uniform(0.5, 2, (blocks, columns)).astype(np.float32)
    found, steps = block_wise(codes * scales.repeat(32, 0), 32)
    assert (found == codes).all()
    np.testing.assert_allclose(steps, scales, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("block", [32, 128])
def test_scales_of_either_sign_leave_less_error(block: int, dtype: type) -> None:
    drawn: Array = np.random.default_rng(0).standard_normal((256, 400)).astype(dtype)
    left = {}
    for signed in (False, True):
        grid = Grid(least=-8, most=7, block=block, signed=signed)
        codes, scales = found = nearest(drawn, grid)
        assert (codes.min(), codes.max() <= 7) == (-8, True)
        assert (scales < 0).any() == signed
        left[signed] = np.linalg.norm(widened(found, grid) - drawn.astype(np.float32))
    assert left[True] < 0.97 * left[False]


def test_a_block_whose_peak_is_positive_loses_nothing_of_it_to_a_negative_scale() -> None:
    drawn = np.arange(-7, 9, dtype=np.float32).repeat(2)[:, None]
    codes, scales = block_wise(drawn, 32, signed=True)
    assert (codes * scales == drawn).all()
    assert scales.item() == -1


def test_the_step_of_a_block_leaves_less_error_than_its_peak_would() -> None:
    drawn = np.random.default_rng(0).standard_normal((256, 40)).astype(np.float32)
    codes, scales = block_wise(drawn, 128)
    plain = np.abs(drawn.reshape(2, 128, 40)).max(1).repeat(128, 0) / 7
    left = np.linalg.norm(codes * scales.repeat(128, 0) - drawn)
    assert left < 0.9 * np.linalg.norm(np.rint(drawn / plain) * plain - drawn)


@pytest.mark.parametrize("value", [0.0, 1e-40])
def test_weights_of_nothing_stay_nothing(value: float) -> None:
    drawn = np.full((32, 3), value, np.float32)
    for codes, scales in (per_channel(drawn), block_wise(drawn, 32)):
        assert not codes.any()
        assert (scales > 0).all()


def test_int4_codes_of_an_odd_number_are_packed_as_onnx_unpacks_them() -> None:
    codes = np.array([[-8, 7, 3], [-1, 0, 5], [1, -7, 2]], np.int8)
    tensor = helper.make_tensor(
        "w", TensorProto.INT4, codes.shape, packed(codes).tobytes(), raw=True
    )
    assert (numpy_helper.to_array(tensor).astype(np.int8) == codes).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_turned_matrix_is_copied_whole(dtype: type) -> None:
    drawn = np.random.default_rng(0).standard_normal((700, 900)).astype(np.float32)
    made = laid(drawn.T, dtype)
    assert made.flags.c_contiguous
    assert (made == drawn.T.astype(dtype)).all()


@pytest.mark.parametrize("ids", [np.array(3), np.arange(7), np.arange(12).reshape(2, 2, 3)])
def test_rows_of_a_table_of_int8_are_close_whatever_their_size(ids: Array, tmp_path: Path) -> None:
    axes = [f"d{place}" for place in range(ids.ndim)]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Gather", ["table", "ids"], ["rows"])],
            "g",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, axes)],
            [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [*axes, 64])],
            [absent("table", TensorProto.FLOAT, [31, 64])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    scales = np.logspace(-3, 3, 31, dtype=np.float32)
    drawn = np.asarray(weights()["table"], np.float32) * scales[:, None]
    drawn[1] = 0
    made = store(model, {"table": drawn}.__getitem__, tmp_path, "w.data", "int8")
    got = run(made, tmp_path, {"ids": ids})
    assert got.shape == (*ids.shape, 64)
    peak = np.abs(drawn[ids]).max(-1, keepdims=True)
    assert (np.abs(got - drawn[ids]) <= 0.501 / 127 * peak).all()
