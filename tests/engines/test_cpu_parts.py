"""Parts that are no decoder: lowered where that pays, and then the same function from a file."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest

from edgespark.engines.cpu_parts import KEPT, LOWERINGS, lower_part
from edgespark.engines.int8 import Int8, quantised
from edgespark.engines.passes.cpu_int8 import cpu_int8
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.sourced import sourced
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.manifest import Precision, Role
from tests.engines.blocks import block, calibration, samples
from tests.engines.test_cpu_int8 import attention, operators, sized
from tests.engines.typed import Array, normal


def int8_block() -> onnx.ModelProto:
    model = prepared(block())
    made, _ = quantised(model, calibration(model, samples(8)), Int8())
    return made


def on_disk(model: onnx.ModelProto, folder: Path, *, outside: bool = False) -> Path:
    path = folder / "part.onnx"
    onnx.save(model, path, save_as_external_data=outside, location="part.data", size_threshold=512)
    return path


def run(path: Path, fed: dict[str, Array]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return list(session.run(None, fed))


@pytest.mark.parametrize("outside", [False, True])
def test_an_int8_encoder_gives_the_same(outside: bool, tmp_path: Path) -> None:  # noqa: FBT001
    graph = on_disk(int8_block(), tmp_path, outside=outside)
    made = lower_part(graph, "encoder", "int8", tmp_path / "made.onnx")
    assert made is not None
    assert made.how["MatMulIntegerToFloat"] == 4
    assert (made.states, made.data, made.onnxruntime) == ((), (), "1.20")
    fed = {"x": normal(3, 8, 32, seed=900)}
    (wanted,), (got,) = run(graph, fed), run(tmp_path / "made.onnx", fed)
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)


def test_a_float_encoder_gets_one_operator_for_attention(tmp_path: Path) -> None:
    graph = on_disk(sized(attention(8, 2, "queries"), q=3, k=5), tmp_path)
    made = lower_part(graph, "encoder", "fp32", tmp_path / "made.onnx")
    assert made is not None
    assert made.how == {"MultiHeadAttention": 1}
    fed = {"x": normal(2, 3, 8), "a": normal(2, 5, 8, seed=1), "b": normal(2, 5, 8, seed=2)}
    (wanted,), (got,) = run(graph, fed), run(tmp_path / "made.onnx", fed)
    assert np.abs(got - wanted).max() < 1e-5


def test_the_passes_read_no_weight() -> None:
    whole = int8_block()
    light = cpu_int8(sourced(whole).model)
    assert operators(light) == operators(cpu_int8(whole))
    assert [node.input for node in light.graph.node] == [
        node.input for node in cpu_int8(whole).graph.node
    ]


def test_every_part_but_the_decoder_has_a_form_or_a_reason() -> None:
    roles = set(get_args(Role)) - {"decoder"}
    precisions: set[Precision] = {"fp32", "int8"}  # a CPU computes fp16 in float32
    assert KEPT.keys() | LOWERINGS.keys() == {(r, p) for r in roles for p in precisions}
    assert not KEPT.keys() & LOWERINGS.keys()


def test_where_nothing_changes_no_file_is_written(tmp_path: Path) -> None:
    graph, into = on_disk(block(), tmp_path), tmp_path / "made.onnx"
    assert lower_part(graph, "encoder", "int8", into) is None  # nothing in it is quantised
    assert lower_part(graph, "bridge", "int8", into) is None
    assert lower_part(graph, "embedder", "int8", into) is None
    assert [each.name for each in tmp_path.iterdir()] == ["part.onnx"]


def test_a_decoder_and_what_is_no_graph_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(UsageError, match="decoder in int8"):
        lower_part(broken, "decoder", "int8", tmp_path / "made.onnx")
    with pytest.raises(BundleError, match="no ONNX graph"):
        lower_part(broken, "encoder", "int8", tmp_path / "made.onnx")
