"""The error of each layer: measured on the part's probes, against the part's fp32 graph."""

import json
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.device import DEVICES
from edgespark.runtime.layers import Layers, claimed, layers
from edgespark.runtime.watched import tensors
from tests.runtime.bundles import write_manifest
from tests.runtime.narrow import graph_of, graphs_of, narrowed
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn, bridge

Array = NDArray[Any]
LAYERS = ("first", "second")


def with_insides(off: Mapping[str, Array | float]) -> Callable[[Mapping[str, Array]], Any]:
    """Return a bridge that shows two layers, each off by that many standard deviations."""

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        tokens = bridge(given)["tokens"]
        made = {"first": tokens, "second": 2 * tokens}
        return {"tokens": tokens} | {
            name: (made[name] + off.get(name, 0) * made[name].std()).astype(np.float32)
            for name in LAYERS
        }

    return run


@pytest.fixture
def insides(stand_in: StandIn, folder: Path) -> Path:
    """Return a bundle whose bridge has an int8 graph, off by 0.5 in its second layer."""
    narrowed(stand_in, "bridge", "int8", LAYERS)
    stand_in.functions["bridge"] = with_insides({})
    stand_in.functions["bridge.int8"] = with_insides({"first": 0.01, "second": 0.5})
    graphs = graphs_of("bridge", {"fp32": (*LAYERS, "tokens"), "int8": (*LAYERS, "tokens")})
    return write(stand_in, folder, graphs)


def measured(folder: Path) -> Layers:
    (found,) = layers(Bundle.open(folder), DEVICES["cpu"])
    return found


def test_each_layer_is_compared_with_the_same_one_of_the_fp32_graph(insides: Path) -> None:
    found = measured(insides)
    assert (found.name, found.precision, found.unknown) == ("bridge", "int8", ())
    assert found.errors == {"first": pytest.approx(0.01), "second": pytest.approx(0.5)}
    assert found.worst == "second"


def test_both_graphs_are_watched_at_the_layers(insides: Path, stand_in: StandIn) -> None:
    bundle = Bundle.open(insides)
    plain = {
        each.file.path: bundle.read(each.file) for each in bundle.manifest.part("bridge").graphs
    }
    stand_in.programs.clear()
    measured(insides)
    opened = {each.where: each.graph for each in stand_in.programs}
    assert opened.keys() == plain.keys()
    for where, graph in opened.items():
        assert tensors(graph) == {*LAYERS, "tokens"}
        assert graph.startswith(plain[where])
        assert all(name.encode() in graph[len(plain[where]) :] for name in LAYERS)


def test_sessions_are_closed_again(insides: Path, stand_in: StandIn) -> None:
    measured(insides)
    assert all(session.closed for session in stand_in.sessions.values())


def test_a_layer_that_overflows_is_the_worst(insides: Path, stand_in: StandIn) -> None:
    stand_in.functions["bridge.int8"] = with_insides({"first": inf, "second": 0.5})
    found = measured(insides)
    assert (found.worst, found.errors["first"]) == ("first", inf)


def test_a_half_precision_graph_is_rounded_tensor_by_tensor(
    stand_in: StandIn, folder: Path
) -> None:
    narrowed(stand_in, "bridge", "fp16", LAYERS)
    stand_in.functions["bridge"] = with_insides({})
    write(stand_in, folder, graphs_of("bridge", {"fp32": LAYERS, "fp16": LAYERS}))
    stand_in.programs.clear()
    measured(folder)
    assert [(each.where, each.exact) for each in stand_in.programs] == [
        ("graphs/bridge.fp32.onnx", False),
        ("graphs/bridge.fp16.onnx", True),
    ]


@pytest.mark.parametrize("without", ["fp32", "int8"])
def test_a_layer_that_one_of_the_graphs_does_not_have_is_told_and_not_measured(
    insides: Path, stand_in: StandIn, without: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graphs = graphs_of("bridge", {"fp32": LAYERS, "int8": LAYERS})
    graphs[f"graphs/bridge.{without}.onnx"] = graph_of(["second"])
    write(stand_in, insides, graphs)
    found = measured(insides)
    assert (list(found.errors), found.unknown) == (["second"], ("first",))
    assert main(["verify", str(insides), "--scores", "--samples", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "bridge int8: not measured" in err
    assert "first" in err
    (row,) = (each for each in json.loads(out)["parts"] if each["precision"] == "int8")
    assert (list(row["layers"]), row["unknown_layers"]) == (["second"], ["first"])


def test_a_tensor_that_holds_no_floats_is_no_layer(insides: Path, stand_in: StandIn) -> None:
    honest = with_insides({})
    stand_in.functions["bridge.int8"] = lambda given: {
        **honest(given),
        "first": np.zeros(3, np.int64),
    }
    assert measured(insides).unknown == ("first",)


def test_a_graph_that_is_no_protocol_buffer_is_a_broken_bundle(
    insides: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    graphs = graphs_of("bridge", {"fp32": LAYERS})
    write(stand_in, insides, {**graphs, "graphs/bridge.int8.onnx": b"\x3a\xff"})
    assert main(["verify", str(insides), "--scores"]) == 3
    assert "graphs/bridge.int8.onnx: no ONNX graph" in capsys.readouterr().err


def test_a_part_without_an_fp32_graph_has_nothing_to_be_compared_with(
    insides: Path, stand_in: StandIn
) -> None:
    del stand_in.functions["bridge.int8"]
    text = (insides / "manifest.json").read_text(encoding="utf-8")
    made = json.loads(text)
    (part,) = (each for each in made["parts"] if each["name"] == "bridge")
    del part["graphs"][0]
    made["variants"] = [each for each in made["variants"] if each["name"] == "int8"]
    made["preferred"] = {"cpu": "int8"}

    write_manifest(insides, made)
    assert measured(insides).unknown == LAYERS
    assert measured(insides).worst is None


def test_only_graphs_whose_evidence_names_layers_are_looked_into(
    insides: Path, stand_in: StandIn
) -> None:
    narrowed(stand_in, "walk", "int4")
    write(stand_in, insides)
    bundle = Bundle.open(insides)
    assert [(part.name, graph.precision) for part, graph, _ in claimed(bundle)] == [
        ("bridge", "int8")
    ]


def test_the_worst_layer_is_told_of_each_graph(
    insides: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(insides), "--scores", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    found = {(each["name"], each["precision"]): each["worst_layer"] for each in parts}
    assert found.pop(("bridge", "int8")) == {"name": "second", "error": pytest.approx(0.5)}
    assert set(found.values()) == {None}
    assert main(["verify", str(insides), "--scores"]) == 0
    assert "worst of 2 layers of bridge int8: second 5.0e-01" in capsys.readouterr().out
    assert main(["verify", str(insides), "--json"]) == 0
    assert "layers" not in json.loads(capsys.readouterr().out)["parts"][0]
