"""Projections of one tensor become one product; what each of them gave keeps its name and value."""

import numpy as np

from edgespark.engines.graphs import check
from edgespark.engines.passes.merge_projections import merge_projections
from edgespark.engines.passes.prepare import prepared
from tests.engines.blocks import TOKENS, WIDE, block, values
from tests.engines.typed import graph, normal, run


def test_queries_keys_and_values_are_one_product() -> None:
    made = check(merge_projections(block()), 18)
    (split,) = [node for node in made.graph.node if node.op_type == "Split"]
    assert list(split.output) == ["q", "k", "v"]
    assert not {"wq", "wk", "wv", "bq"} & {each.name for each in made.graph.initializer}
    fed = {"x": normal(3, TOKENS, WIDE)}
    names = ["q", "k", "v", "y"]
    for name, value in values(made, fed, names).items():
        np.testing.assert_allclose(value, values(block(), fed, [name])[name], rtol=1e-5, atol=1e-6)


def test_projections_without_any_bias_get_none() -> None:
    text = """g (float[n, 4] x) => (float[n, 3] a, float[n, 2] b) {
        a = MatMul(x, u)
        b = MatMul(x, v)
    }"""
    model = graph(text, {"u": normal(4, 3), "v": normal(4, 2, seed=1)})
    made = check(merge_projections(model), 18)
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Split"]
    fed = {"x": normal(5, 4, seed=2)}
    for name, value in run(model, fed).items():
        np.testing.assert_allclose(run(made, fed)[name], value, rtol=1e-5)


def test_a_product_that_is_read_before_its_bias_keeps_its_name() -> None:
    text = """g (float[n, 4] x) => (float[n, 3] a, float[n, 3] b, float[n, 3] c) {
        a0 = MatMul(x, u)
        a = Add(a0, s)
        b = Relu(a0)
        c = MatMul(x, v)
    }"""
    model = graph(text, {"u": normal(4, 3), "v": normal(4, 3, seed=1), "s": normal(3)})
    made = check(merge_projections(model), 18)
    fed = {"x": normal(5, 4, seed=2)}
    for name, value in run(model, fed).items():
        np.testing.assert_allclose(run(made, fed)[name], value, rtol=1e-5)


def test_products_that_share_nothing_stay() -> None:
    text = "g (float[n, 4] x) => (float[n, 4] b) { a = MatMul(x, u) b = MatMul(a, u) }"
    model = graph(text, {"u": normal(4, 4)})
    assert merge_projections(model) == model


def test_what_is_prepared_is_not_changed_again() -> None:
    once = prepared(block())
    assert prepared(once) == once
