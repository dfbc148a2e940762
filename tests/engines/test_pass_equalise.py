"""Convolutions in a row share the size of their channels, and compute what they did."""

import numpy as np
import onnx
import pytest

from edgespark.engines.graphs import check
from edgespark.engines.passes.equalise import equalise
from tests.engines.typed import graph, normal, run

CONV = "Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"
ROW = f"a = {CONV} (x, w, b) r = Relu(a) y = {CONV} (r, v)"
PICTURE = {"x": normal(2, 3, 6, 6, seed=9)}


def row(body: str = ROW, planted: float = 100.0) -> onnx.ModelProto:
    w, b, v = normal(4, 3, 3, 3), normal(4, seed=1), normal(5, 4, 3, 3, seed=2)
    w[1], b[1], v[:, 1] = w[1] * planted, b[1] * planted, v[:, 1] / planted
    text = f"g (float[n, 3, 6, 6] x) => (float[n, c, h, k] y) {{ {body} }}"
    return graph(text, {"w": w, "b": b, "v": v})


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_a_planted_channel_is_shared_out_and_nothing_else_changes() -> None:
    model = row()
    made = check(equalise(model), 18)
    before, after = weights(model), weights(made)
    assert np.abs(after["w"][1]).max() < 8 * np.abs(after["w"][0]).max()
    np.testing.assert_array_equal(np.delete(after["w"], 1, 0), np.delete(before["w"], 1, 0))
    np.testing.assert_array_equal(run(made, PICTURE)["y"], run(model, PICTURE)["y"])


def test_doing_it_twice_changes_nothing_more() -> None:
    once = equalise(row())
    assert equalise(once).SerializeToString() == once.SerializeToString()


def test_channels_that_are_even_stay_as_they_are() -> None:
    model = row(planted=1.0)
    assert equalise(model).SerializeToString() == model.SerializeToString()


def test_dead_channels_and_zero_kernels_do_no_harm() -> None:
    model = row(planted=0.5)
    for each in model.graph.initializer:
        if each.name != "b":
            array = onnx.numpy_helper.to_array(each).copy()
            array[0] = 0
            each.CopyFrom(onnx.numpy_helper.from_array(array, each.name))
    made = equalise(model)
    np.testing.assert_allclose(run(made, PICTURE)["y"], run(model, PICTURE)["y"], rtol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        f"a = {CONV} (x, w, b) r = Relu(a) z = {CONV} (r, v) s = ReduceSum (r) y = Add(z, s)",
        f"a = {CONV} (x, w, b) r = Sigmoid(a) y = {CONV} (r, v)",
    ],
    ids=["another reader", "a sigmoid between"],
)
def test_what_cannot_be_divided_exactly_stays(body: str) -> None:
    model = row(body)
    assert equalise(model).SerializeToString() == model.SerializeToString()
