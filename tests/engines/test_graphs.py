"""Graphs are cleaned of what is not the graph, and checked before anyone relies on them."""

import onnx
import pytest
from onnx import TensorProto, helper

from edgespark.engines.graphs import check, clean
from edgespark.runtime.errors import CheckError


def graph(opset: int = 18, domain: str = "", op: str = "Relu") -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("x", "y")
    ]
    node = helper.make_node(op, ["x"], ["y"], domain=domain, doc_string="from /home/me/model.py")
    node.metadata_props.add(key="stack_trace", value="/home/me/model.py:12")
    made = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid(domain, opset)],
        ir_version=10,
    )
    made.doc_string = "/home/me"
    return made


def test_no_path_of_the_machine_stays_in_a_clean_graph() -> None:
    assert b"/home/me" not in clean(graph()).SerializeToString()


def test_a_valid_graph_passes() -> None:
    assert check(clean(graph()), 18).graph.node[0].op_type == "Relu"


def test_another_opset_is_refused_with_both_numbers() -> None:
    with pytest.raises(CheckError, match=r"20.*18"):
        check(graph(opset=20), 18)


def test_operators_of_another_domain_are_refused() -> None:
    with pytest.raises(CheckError, match=r"com\.microsoft"):
        check(graph(domain="com.microsoft", opset=1, op="QuickGelu"), 18)


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(CheckError, match="not a valid ONNX graph"):
        check(graph(op="Rellu"), 18)
