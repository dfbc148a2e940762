"""Products are told by kind, and their multiply-adds are those that a loop would count."""

import numpy as np
import pytest

from edgespark.engines.passes.work import multiply_adds, works
from tests.engines.blocks import block
from tests.engines.typed import graph, normal, run


def test_each_product_of_a_block_has_its_kind() -> None:
    kinds = {work.name: work.kind for work in works(block().graph)}
    wide = dict.fromkeys(("q0", "k", "v0", "o0", "h0", "z0"), "linear")
    assert kinds == wide | {"scores": "scores", "mixed": "mixes"}


ODD = {
    "the constant comes first": "y = MatMul(w, x)",
    "the weight is a batch": "y = MatMul(x, b)",
    "the input is turned": "y = Gemm <transA = 1> (x, w)",
}


@pytest.mark.parametrize("node", ODD.values(), ids=ODD)
def test_what_is_no_known_product_is_told_as_other(node: str) -> None:
    result = "float[1, 4, 4] y" if "b)" in node else "float[4, 4] y"
    model = graph(
        f"g (float[4, 4] x) => ({result}) {{ {node} }}", {"w": normal(4, 4), "b": normal(1, 4, 4)}
    )
    assert [work.kind for work in works(model.graph)] == ["other"]


CONVS = {
    "plain": ("kernel_shape = [3, 3]", (6, 4, 3, 3), (2, 4, 8, 9)),
    "padded": (
        "kernel_shape = [3, 3], pads = [1, 0, 2, 1], strides = [2, 3]",
        (6, 4, 3, 3),
        (1, 4, 8, 9),
    ),
    "dilated": ("kernel_shape = [3, 2], dilations = [2, 3]", (6, 4, 3, 2), (1, 4, 8, 9)),
    "in groups": ("kernel_shape = [1, 1], group = 2", (6, 2, 1, 1), (1, 4, 8, 9)),
    "as large as before": (
        'kernel_shape = [3, 3], auto_pad = "SAME_UPPER", strides = [2, 2]',
        (6, 4, 3, 3),
        (1, 4, 8, 9),
    ),
    "in one dimension": ("kernel_shape = [3]", (6, 4, 3), (1, 4, 7)),
}


@pytest.mark.parametrize(("form", "weight", "size"), CONVS.values(), ids=CONVS)
def test_a_conv_multiplies_its_kernel_once_for_each_result(
    form: str, weight: tuple[int, ...], size: tuple[int, ...]
) -> None:
    sides = ", ".join(map(str, size))
    text = f"g (float[{sides}] x) => (float[{', '.join('abcd'[: len(size)])}] y)"
    model = graph(f"{text} {{ y = Conv <{form}> (x, w) }}", {"w": normal(*weight)})
    (work,) = works(model.graph)
    results = run(model, {"x": normal(*size)})["y"].size
    wanted = results * int(np.prod(weight[1:]))
    assert multiply_adds(work, {"x": size, "w": weight}) == wanted


MATMULS = [
    ((2, 3, 4), (4, 5), 120),
    ((2, 1, 3, 4), (7, 4, 5), 840),
    ((4,), (4, 5), 20),
    ((3, 4), (4,), 12),
]


@pytest.mark.parametrize(("left", "right", "wanted"), MATMULS)
def test_a_matmul_multiplies_each_row_with_each_column(
    left: tuple[int, ...], right: tuple[int, ...], wanted: int
) -> None:
    (work, *_) = works(block().graph)
    assert multiply_adds(work, {"n": left, "wq": right}) == wanted


def test_sizes_that_do_not_go_together_are_an_error() -> None:
    (work, *_) = works(block().graph)
    with pytest.raises(ValueError, match="31 columns against 32 rows"):
        multiply_adds(work, {"n": (1, 8, 31), "wq": (32, 32)})
