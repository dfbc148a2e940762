"""INT8 of whole graphs: what it costs, what stays float32 and why, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest

from edgespark.calibration.ranges import PartCalibration
from edgespark.engines.graphs import check
from edgespark.engines.int8 import Int8, quantised
from edgespark.engines.passes.prepare import prepared
from edgespark.runtime.errors import InputError
from tests.engines.blocks import block, calibration, cnn, error, planted, samples, values
from tests.engines.typed import graph, normal

NAIVE = Int8(method="minmax", smooth=False, correct=False)
FED = samples()
UNSEEN = [{"x": normal(1, 8, 32, seed=900 + n)} for n in range(8)]


@pytest.fixture(scope="module")
def seen() -> PartCalibration:
    return calibration(prepared(block()), FED)


def test_a_block_loses_little_and_tells_of_every_layer(seen: PartCalibration) -> None:
    made, report = quantised(block(), seen, Int8())
    assert error(check(made, 18), block(), UNSEEN) < 0.03
    assert {each.name: each.work for each in report.layers} == {
        "q.merged": 8 * 32 * 96,
        "scores": 4 * 8 * 8 * 8,
        "mixed": 4 * 8 * 8 * 8,
        "o0": 8 * 32 * 32,
        "h0": 8 * 32 * 64,
        "z0": 8 * 64 * 32,
    }
    assert report.kept() == {"mixed": "mixes of attention were not asked for in int8"}
    assert report.share("int8") == pytest.approx(1 - 2048 / (24576 + 4096 + 8192 + 32768))


def test_attention_can_be_int8_or_float32_throughout(seen: PartCalibration) -> None:
    assert quantised(block(), seen, Int8(mixes=True))[1].share("int8") == 1
    assert quantised(block(), seen, Int8(scores=False))[1].kept().keys() == {"scores", "mixed"}


def test_the_tensors_of_layers_keep_their_names_and_nearly_their_values(
    seen: PartCalibration,
) -> None:
    model = prepared(block())
    made, report = quantised(block(), seen, Int8())
    names = [*(each.name for each in report.layers), "q", "k", "v", "y"]
    wanted, got = (values(each, UNSEEN[0], names) for each in (model, made))
    for name in names:
        off = np.linalg.norm(got[name] - wanted[name]) / np.linalg.norm(wanted[name])
        assert off < 0.05, name


def test_a_planted_outlier_ruins_minmax_and_not_the_shipped_method(seen: PartCalibration) -> None:
    model = planted()
    there = calibration(prepared(model), FED)
    unplanted = error(quantised(block(), seen, Int8())[0], block(), UNSEEN)
    naive = error(quantised(model, there, NAIVE)[0], model, UNSEEN)
    shipped = error(quantised(model, there, Int8())[0], model, UNSEEN)
    assert naive > 10 * unplanted
    assert shipped < 1.5 * unplanted


def test_smoothing_pays_by_itself() -> None:
    model = planted()
    there = calibration(prepared(model), FED)
    with_it, without = (
        error(quantised(model, there, replace(NAIVE, smooth=each))[0], model, UNSEEN)
        for each in (True, False)
    )
    assert with_it < without / 5


def test_a_cnn_is_int8_with_its_results_rounded_or_not() -> None:
    fed = samples(12, 2, 8, 8)
    there = calibration(cnn(), fed)
    for results, operators in ((True, 4), (False, 2)):
        made, report = quantised(cnn(), there, Int8(results=results))
        assert report.share("int8") == 1
        assert error(check(made, 18), cnn(), [*fed]) < 0.02
        assert [each.op_type for each in made.graph.node].count("QuantizeLinear") == operators


def test_a_result_is_clipped_where_its_relu_is() -> None:
    there = calibration(cnn(), samples(12, 2, 8, 8))
    made, _ = quantised(cnn(), there, Int8(method="minmax"))
    scales = {
        each.name: float(onnx.numpy_helper.to_array(each))
        for each in made.graph.initializer
        if each.name in ("c1.scale", "r1.scale")
    }
    assert scales["c1.scale"] == scales["r1.scale"] == pytest.approx(there.peaks["r1"] / 127)


def test_a_conv_right_behind_another_reads_what_was_rounded_once() -> None:
    text = """g (float[n, 2, 8, 8] x) => (float[n, 3, 8, 8] y) {
        c = Conv(x, u)
        y = Conv(c, w)
    }"""
    model = graph(text, {"u": normal(3, 2, 1, 1), "w": normal(3, 3, 1, 1, seed=1)})
    fed = samples(12, 2, 8, 8)
    made, _ = quantised(model, calibration(model, fed), Int8())
    assert error(check(made, 18), model, [*fed]) < 0.03
    assert [node.op_type for node in made.graph.node].count("QuantizeLinear") == 2


def nothing_seen() -> tuple[onnx.ModelProto, PartCalibration]:
    zeros = [{"x": np.zeros((1, 8, 32), np.float32)}]
    text = "g (float[n, 8, 32] x) => (float[n, 8, 4] y) { y = MatMul(x, w) }"
    model = graph(text, {"w": normal(32, 4)})
    return model, calibration(model, zeros)


def stretched(by: float) -> tuple[onnx.ModelProto, PartCalibration]:
    text = "g (float[n, 8, 32] x) => (float[n, 8, 4] y) { v = MatMul(x, w)  y = Add(v, b) }"
    model = graph(text, {"w": normal(32, 4), "b": normal(4)})
    return model, calibration(model, [{"x": each["x"] * np.float32(by)} for each in FED[:2]])


def broken() -> tuple[onnx.ModelProto, PartCalibration]:
    text = "g (float[n, 8, 32] x) => (float[n, 8, 4] y) { y = MatMul(x, w) }"
    weight = normal(32, 4)
    there = calibration(graph(text, {"w": weight}), FED[:2])
    weight[3, 2] = np.inf
    return graph(text, {"w": weight}), there


def odd() -> tuple[onnx.ModelProto, PartCalibration]:
    text = "g (float[n, 8, 32] x) => (float[n, 8, 4] y) { y = MatMul(x, w) }"
    model = graph(text, {"w": normal(1, 32, 4)})
    return model, calibration(model, FED[:2])


WIDE: dict[str, tuple[Callable[[], tuple[onnx.ModelProto, PartCalibration]], str]] = {
    "zero input": (nothing_seen, "its input x was zero on all samples"),
    "infinite weight": (broken, "its weight holds NaN or infinity"),
    "odd weight": (odd, "not a product with a constant float32 matrix or kernel"),
}


@pytest.mark.parametrize(("make", "reason"), WIDE.values(), ids=WIDE)
def test_a_layer_that_cannot_be_int8_stays_and_says_why(
    make: Callable[[], tuple[onnx.ModelProto, PartCalibration]], reason: str
) -> None:
    model, there = make()
    made, report = quantised(model, there, Int8())
    assert made == model
    assert reason in report.kept()["y"]


@pytest.mark.parametrize("by", [1e-44, 1e-39, 1e30])
def test_a_layer_whose_range_float32_has_no_step_for_stays(by: float) -> None:
    model, there = stretched(by)
    made, report = quantised(model, there, Int8())
    assert made == model
    assert "beyond the 1e-30 to 1e+15 that int8 takes" in report.kept()["v"]


def test_a_layer_stays_where_it_is_asked_to(seen: PartCalibration) -> None:
    made, report = quantised(block(), seen, Int8(keep={"h0": "it costs too much"}))
    assert report.kept()["h0"] == "it costs too much"
    assert "w1.int8" not in {each.name for each in made.graph.initializer}


def test_constant_samples_give_a_graph_of_finite_values() -> None:
    fed = [{"x": np.full((1, 8, 32), 0.7, np.float32)}] * 3
    there = calibration(prepared(block()), fed)
    made, _ = quantised(block(), there, Int8())
    assert np.isfinite(values(made, UNSEEN[0], ["y"])["y"]).all()


def without(seen: PartCalibration) -> PartCalibration:
    return replace(seen, tensors={k: v for k, v in seen.tensors.items() if k not in ("n2", "a")})


def narrower(seen: PartCalibration) -> PartCalibration:
    return replace(seen, tensors=seen.tensors | {"n2": seen.tensors["a"]})


def endless(seen: PartCalibration) -> PartCalibration:
    ranges = replace(seen.tensors["n2"], peak=float("inf"))
    return replace(seen, tensors=seen.tensors | {"n2": ranges})


BAD: dict[str, tuple[Callable[[PartCalibration], PartCalibration], str]] = {
    "missing": (without, r"part: the calibration knows no tensor n2, a: .* calibrate again"),
    "of another size": (narrower, r"h0 cannot multiply n2 \[1, 8, 64\] and w1 \[32, 64\]"),
    "infinite": (endless, r"part: n2: peak is inf"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_a_calibration_of_another_graph_is_refused(
    seen: PartCalibration, spoil: Callable[[PartCalibration], PartCalibration], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        quantised(block(), spoil(seen), Int8())


def test_a_layer_to_keep_that_is_none_is_refused(seen: PartCalibration) -> None:
    with pytest.raises(InputError, match="no layer is named h1"):
        quantised(block(), seen, Int8(keep={"h1": "why not"}))


def test_the_graph_that_was_given_is_not_changed(seen: PartCalibration) -> None:
    model = block()
    quantised(model, seen, Int8())
    assert model == block()
