"""A Gemm on a constant matrix becomes MatMul and Add of the same value."""

import numpy as np
import pytest

from edgespark.engines.graphs import check
from edgespark.engines.passes.straight_products import straight_products
from tests.engines.typed import graph, normal, run

FORMS = ["", "transB = 1", "alpha = 0.5", "alpha = 2.0, beta = 0.25, transB = 1"]


@pytest.mark.parametrize("form", FORMS)
def test_every_plain_gemm_is_written_anew_and_keeps_its_value(form: str) -> None:
    attributes = f"<{form}>" if form else ""
    text = f"g (float[n, 3] x) => (float[n, 5] y) {{ y = Gemm {attributes} (x, w, b) }}"
    weight = normal(5, 3) if "transB" in form else normal(3, 5)
    model = graph(text, {"w": weight, "b": normal(5, seed=1)})
    made = check(straight_products(model), 18)
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Add"]
    fed = {"x": normal(4, 3, seed=2)}
    np.testing.assert_allclose(run(made, fed)["y"], run(model, fed)["y"], rtol=1e-5, atol=1e-6)


def test_a_gemm_without_a_bias_is_one_matmul() -> None:
    text = "g (float[n, 3] x) => (float[n, 5] y) { y = Gemm (x, w) }"
    made = straight_products(graph(text, {"w": normal(3, 5)}))
    assert [node.op_type for node in made.graph.node] == ["MatMul"]


@pytest.mark.parametrize("node", ["Gemm <transA = 1> (x, w)", "Gemm (w, x)", "MatMul (x, w)"])
def test_what_is_no_linear_layer_of_rows_stays(node: str) -> None:
    text = f"g (float[3, 3] x) => (float[3, 3] y) {{ y = {node} }}"
    model = graph(text, {"w": normal(3, 3)})
    assert straight_products(model) == model
