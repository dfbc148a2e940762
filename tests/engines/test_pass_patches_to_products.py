"""A Conv that only cuts an image into patches becomes a product of the same value."""

import numpy as np
import onnx
import pytest

from edgespark.engines.graphs import check
from edgespark.engines.passes.patches_to_products import patches_to_products
from tests.engines.typed import graph, normal, run


def conv(
    form: str, side: str = "8, 12", rest: str = "y = Relu(c)", places: tuple[int, ...] = (2, 4)
) -> onnx.ModelProto:
    result = "float[a, b, c] y" if rest == TOKENS else "float[a, b, c, d] y"
    text = f"g (float[n, 3, {side}] x) => ({result}) {{ c = Conv <{form}> (x, w, b) {rest} }}"
    flat = np.array([-1, 5, 12])
    return graph(text, {"w": normal(5, 3, *places), "b": normal(5, seed=1), "flat": flat})


PLAIN = "kernel_shape = [2, 4], strides = [2, 4]"
READ = "y = Relu(c)"
TOKENS = "v = Reshape(c, flat) y = Transpose <perm = [0, 2, 1]> (v)"


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("rest", [READ, TOKENS])
def test_patches_are_products_of_the_same_value_for_any_batch(rest: str, batch: int) -> None:
    model = conv(PLAIN, rest=rest)
    made = check(patches_to_products(model), 18)
    assert "Conv" not in {node.op_type for node in made.graph.node}
    fed = {"x": normal(batch, 3, 8, 12, seed=2)}
    np.testing.assert_allclose(run(made, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-5)


def test_tokens_are_read_as_the_product_gives_them() -> None:
    made = patches_to_products(conv(PLAIN, rest=TOKENS))
    assert [node.op_type for node in made.graph.node][-2:] == ["MatMul", "Add"]
    assert made.graph.node[-1].output[0] == "y"


def test_a_conv_without_bias_is_a_product_alone() -> None:
    text = f"g (float[n, 3, 8, 12] x) => (float[a, b, c, d] y) {{ y = Conv <{PLAIN}> (x, w) }}"
    model = graph(text, {"w": normal(5, 3, 2, 4)})
    made = patches_to_products(model)
    assert "Add" not in {node.op_type for node in made.graph.node}
    fed = {"x": normal(2, 3, 8, 12, seed=2)}
    np.testing.assert_allclose(run(made, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-5)


OTHERS = {
    "overlapping": ("kernel_shape = [2, 4], strides = [1, 4]", "8, 12"),
    "padded": ("kernel_shape = [2, 4], strides = [2, 4], pads = [0, 2, 0, 2]", "8, 12"),
    "dilated": ("kernel_shape = [2, 4], strides = [2, 4], dilations = [2, 1]", "8, 12"),
    "with a rest": (PLAIN, "9, 12"),
    "of unknown size": (PLAIN, "high, 12"),
}


@pytest.mark.parametrize(("form", "side"), OTHERS.values(), ids=OTHERS)
def test_any_other_conv_stays(form: str, side: str) -> None:
    model = conv(form, side)
    assert patches_to_products(model) == model


def test_a_conv_of_one_place_stays() -> None:
    model = conv("kernel_shape = [1, 1]", places=(1, 1))
    assert patches_to_products(model) == model
