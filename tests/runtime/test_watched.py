"""Watched graphs: tensors within a graph become outputs, with no more than its bytes at hand."""

import numpy as np
import pytest

from edgespark.runtime.backends import backend
from edgespark.runtime.errors import UsageError
from edgespark.runtime.watched import tensors, watched
from tests.runtime.graphs import WIDTH, graph, ones, onnx, program


def test_a_tensor_within_becomes_an_output_behind_the_others() -> None:
    made = onnx.load_from_string(watched(graph(), ["all", "new"]))
    plain = onnx.load_from_string(graph())
    assert [each.name for each in made.graph.output] == ["total", "new", "all"]
    del made.graph.output[2:]
    assert made == plain


def test_what_is_watched_is_what_the_graph_computes() -> None:
    session = backend("onnxruntime").open_session(program(watched(graph(), ["all"])))
    past = 5 * ones(2, WIDTH)
    made = session.run({"x": ones(1, WIDTH), "past": past})
    assert list(made) == ["total", "new", "all"]
    assert made["all"].tolist() == [[5] * WIDTH, [5] * WIDTH, [1, 2, 3, 4]]
    assert made["total"] == made["all"].sum()


def test_nothing_to_watch_leaves_the_graph_as_it_is() -> None:
    assert watched(graph(), []) == watched(graph(), ["new", "total", "new"]) == graph()


def test_a_graph_that_is_watched_twice_gives_both() -> None:
    twice = watched(watched(graph(), ["all"]), ["all"])
    assert twice == watched(graph(), ["all"])


def test_the_tensors_are_those_that_nodes_give() -> None:
    assert tensors(graph()) == {"new", "all", "total"}


@pytest.mark.parametrize("name", ["x", "bias", "nothing", "", "all\n"])
def test_a_name_that_no_node_gives_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no node of the graph gives"):
        watched(graph(), ["all", name])


def test_what_is_no_graph_has_no_tensors() -> None:
    for content in (graph()[:-9], b"\xff", b"no graph"):
        with pytest.raises(ValueError, match="byte"):
            tensors(content)
    assert tensors(b"") == set()


def test_messages_one_behind_the_other_are_one() -> None:
    named = onnx.load_from_string(graph() + onnx.ModelProto(producer_name="x").SerializeToString())
    assert named.producer_name == "x"
    assert named.graph == onnx.load_from_string(graph()).graph
    assert np.array_equal([len(named.graph.node)], [3])
