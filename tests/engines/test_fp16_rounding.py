"""Without its optimiser, ONNX Runtime rounds each float16 tensor as a device does."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgespark.engines.passes.moves import MOVES, ROUNDS
from edgespark.engines.passes.rounding import rounding
from edgespark.engines.passes.wiring import WORK, stored
from tests.engines.typed import Array, graph, half, normal, run

X, Y = 3 * normal(1, 4, 6, 6), 3 * normal(1, 4, 6, 6, seed=1)
SCALES = (1.0, 1e-4, 1e-6, 6e4)  # the last two: into subnormals, and beyond float16


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What an operator reads: float inputs, then others by their places, and attributes."""

    floats: tuple[NDArray[np.float32], ...] = (X,)
    others: dict[int, Array] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 18


def ints(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


TWO = Case(floats=(X, Y))
REDUCED = Case(others={1: ints(2)})
CASES = {
    "Add": TWO,
    "Clip": Case(floats=(X, *(np.full((), each, np.float32) for each in (-1.1, 1.3)))),
    "Concat": Case(floats=(X, Y), attributes={"axis": 1}),
    "Conv": Case(floats=(X, normal(8, 4, 3, 3), normal(8))),
    "Div": TWO,
    "Erf": Case(),
    "Expand": Case(others={1: ints(3, 4, 6, 6)}),
    "Flatten": Case(),
    "Gather": Case(others={1: ints(0, 2)}, attributes={"axis": 1}),
    "GatherElements": Case(others={1: np.zeros(X.shape, np.int64)}, attributes={"axis": 1}),
    "GatherND": Case(others={1: np.array([[0, 1]])}),
    "Gelu": Case(opset=20),
    "Gemm": Case(floats=(X[0, 0], normal(6, 5), normal(5))),
    "HardSigmoid": Case(),
    "LeakyRelu": Case(),
    "MatMul": Case(floats=(X, normal(6, 5))),
    "Max": TWO,
    "MaxPool": Case(attributes={"kernel_shape": [2, 2]}),
    "Min": TWO,
    "Mul": TWO,
    "Neg": Case(),
    "Pad": Case(others={1: ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    "ReduceMax": REDUCED,
    "ReduceMin": REDUCED,
    "Relu": Case(),
    "Reshape": Case(others={1: ints(4, 36)}),
    "Sigmoid": Case(),
    "Slice": Case(others={1: ints(1), 2: ints(3), 3: ints(2)}),
    "Split": Case(others={1: ints(2, 2)}, attributes={"axis": 1}, outputs=2),
    "Squeeze": Case(others={1: ints(0)}),
    "Sub": TWO,
    "Tanh": Case(),
    "Tile": Case(others={1: ints(1, 2, 1, 1)}),
    "Transpose": Case(attributes={"perm": [0, 2, 3, 1]}),
    "Unsqueeze": Case(others={1: ints(0)}),
    "Where": Case(floats=(X, Y), others={0: X > 0}),
}


def single(operator: str, kind: int) -> onnx.ModelProto:
    """Make a graph of one node between products with one, all in that dtype."""
    case = CASES[operator]
    names = [f"o{place}" for place in range(len(case.floats) + len(case.others))]
    floats = [name for place, name in enumerate(names) if place not in case.others]
    outputs = [f"y{place}" for place in range(case.outputs)]
    nodes = [
        *(helper.make_node("Cast", [f"x.{name}"], [f"c.{name}"], to=kind) for name in floats),
        *(helper.make_node("Mul", [f"c.{name}", "one"], [name]) for name in floats),
        helper.make_node(operator, names, [f"m.{name}" for name in outputs], **case.attributes),
        *(helper.make_node("Mul", [f"m.{name}", "one"], [f"p.{name}"]) for name in outputs),
        *(helper.make_node("Cast", [f"p.{name}"], [name], to=1) for name in outputs),
    ]
    one = np.ones((), np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    made = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(f"x.{name}", TensorProto.FLOAT, each.shape)
            for name, each in zip(floats, case.floats, strict=True)
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [stored("one", one), *(stored(f"o{at}", each) for at, each in case.others.items())],
    )
    opset = [helper.make_opsetid("", case.opset)]
    return helper.make_model(made, opset_imports=opset, ir_version=10)


def test_every_operator_that_may_be_float16_has_a_case() -> None:
    assert set(CASES) == MOVES | ROUNDS | set(WORK)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("operator", CASES)
def test_an_operator_rounds_what_float32_gives_of_rounded_numbers(
    operator: str, scale: float
) -> None:
    given = [np.asarray(each * np.float32(scale)) for each in CASES[operator].floats]
    narrow, wide = (single(operator, kind) for kind in (TensorProto.FLOAT16, TensorProto.FLOAT))
    names = [each.name for each in narrow.graph.input]
    got = run(rounding(narrow), dict(zip(names, given, strict=True)))
    wanted = run(wide, dict(zip(names, map(half, given), strict=True)))
    for name, array in wanted.items():
        assert np.array_equal(got[name], half(array), equal_nan=True)


def test_ties_go_to_even_and_subnormals_stay() -> None:
    text = "g (float[6] x) => (float[6] y) { h = Cast <to = 10> (x) y = Cast <to = 1> (h) }"
    x = np.array([2049, 2051, 1e-7, 2.0**-25, 65519, 65520], np.float32)
    got = run(rounding(graph(text, {})), {"x": x})["y"]
    assert got.tolist() == [2048, 2052, 2.0**-23, 0, 65504, np.inf]


def test_the_optimiser_leaves_the_rounding_out() -> None:
    text = """g (float[4, 8] x) => (float[4, 8] y) {
        h = Cast <to = 10> (x) p = Mul (h, h) q = Mul (p, small) y = Cast <to = 1> (q)
    }"""
    made = rounding(graph(text, {"small": np.array(2.0**-10, np.float16)}))
    x = np.full((4, 8), 500, np.float32)
    assert np.isinf(run(made, {"x": x})["y"]).all()
    assert np.isfinite(run(made, {"x": x}, optimised=True)["y"]).all()
