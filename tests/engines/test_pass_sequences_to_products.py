"""A Conv along a sequence becomes a product of the same value."""

import numpy as np
import onnx
import pytest

from edgespark.engines.graphs import check
from edgespark.engines.passes.sequences_to_products import sequences_to_products
from tests.engines.typed import graph, normal, run


def conv(places: int, form: str, turned: str = "") -> onnx.ModelProto:
    rest = turned or "y = Relu(c)"
    text = f"c = Conv <kernel_shape = [{places}]{form}> (x, w, b) {rest}"
    return graph(
        f"g (float[batch, 3, n] x) => (float[batch, p, q] y) {{ {text} }}",
        {"w": normal(5, 3, places), "b": normal(5, seed=1)},
    )


@pytest.mark.parametrize("turned", ["", "y = Transpose <perm = [0, 2, 1]> (c)"])
@pytest.mark.parametrize("form", ["", ", pads = [1, 2]", ", dilations = [2]"])
@pytest.mark.parametrize("places", [1, 3])
def test_sequences_are_products_of_the_same_value(places: int, form: str, turned: str) -> None:
    model = conv(places, form, turned)
    made = check(sequences_to_products(model), 18)
    assert "Conv" not in {node.op_type for node in made.graph.node}
    for length in (7, 11):
        fed = {"x": normal(2, 3, length, seed=2)}
        np.testing.assert_allclose(run(made, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-5)


def test_one_transpose_is_all_that_a_pointwise_conv_needs() -> None:
    made = sequences_to_products(conv(1, "", "y = Transpose <perm = [0, 2, 1]> (c)"))
    assert [node.op_type for node in made.graph.node] == ["Transpose", "MatMul", "Add"]


@pytest.mark.parametrize(("places", "form"), [(3, ", strides = [2]"), (17, "")])
def test_any_other_conv_stays(places: int, form: str) -> None:
    model = conv(places, form)
    assert sequences_to_products(model) == model
