"""The files that a graph names: found in its bytes, and read only if they were hashed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgespark.runtime.backends import backend
from edgespark.runtime.backends.external import MESSAGES, locations
from edgespark.runtime.errors import BundleError, DeviceError
from tests.runtime.graphs import WIDTH, graph, ones, program

onnx = pytest.importorskip("onnx")
needs_folders = pytest.mark.skipif(
    onnxruntime.__version__.startswith("1.20."), reason="this onnxruntime knows no folders"
)


@needs_folders
def test_external_data_is_found_in_the_folder_that_was_verified(tmp_path: Path) -> None:
    (tmp_path / "sums.data").write_bytes(np.full(WIDTH, 9, np.float32).tobytes())
    opened = backend("onnxruntime").open_session(
        replace(program(graph("sums.data")), folder=tmp_path, data=("sums.data",))
    )
    made = opened.run({"x": ones(1, WIDTH), "past": ones(0, WIDTH)})
    assert made["new"].tolist() == [[10.0] * WIDTH]


@pytest.mark.parametrize("listed", [(), ("other.data",)])
@pytest.mark.parametrize(
    "location", ["sums.data", "./sums.data", "../up/sums.data", "{}/sums.data"]
)
def test_a_file_that_the_manifest_does_not_list_is_never_read(
    location: str, listed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "up"
    place.mkdir()
    (place / "sums.data").write_bytes(np.full(WIDTH, 9, np.float32).tobytes())
    monkeypatch.chdir(place)
    made = replace(
        program(graph(location.format(place))), folder=place if listed else None, data=listed
    )
    with pytest.raises(BundleError, match=r"reads the file .*sums\.data', which the manifest does"):
        backend("onnxruntime").open_session(made)


def test_an_onnxruntime_that_would_look_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.20.1")
    made = replace(program(graph("sums.data")), folder=tmp_path, data=("sums.data",))
    with pytest.raises(DeviceError, match=r"install onnxruntime 1\.21 or newer"):
        backend("onnxruntime").open_session(made)


def test_the_files_of_every_tensor_in_a_graph_are_found() -> None:
    def tensor(location: str) -> Any:  # noqa: ANN401 untyped
        made = onnx.TensorProto(name="t", dims=[4], data_type=1)
        made.external_data.add(key="offset", value="0")
        made.external_data.add(key="location", value=location)
        return made

    model = onnx.load_from_string(graph())
    inner = onnx.GraphProto(initializer=[tensor("inner")])
    sparse = onnx.SparseTensorProto(values=tensor("values"), indices=tensor("indices"))
    values = {"t": tensor("one"), "ts": [tensor("many")], "g": inner, "gs": [inner], "s": sparse}
    node = onnx.helper.make_node("If", [], [], name="location", **values)
    model.graph.node.append(node)
    model.graph.sparse_initializer.append(sparse)
    model.graph.initializer.append(tensor("weights"))
    hidden = onnx.helper.make_node("Constant", [], ["y"], value=tensor("constant"))
    model.functions.add(name="f", node=[hidden])
    names = {"inner", "values", "indices", "one", "many", "weights", "constant"}
    assert locations(model.SerializeToString()) == names
    assert locations(graph()) == set()


def test_the_table_of_messages_is_that_of_onnx() -> None:
    def reaches(message: Any, seen: tuple[Any, ...] = ()) -> bool:  # noqa: ANN401 untyped
        inner = [each.message_type for each in message.fields if each.message_type]
        return message.name == "TensorProto" or any(
            reaches(each, (*seen, message)) for each in inner if each not in seen
        )

    found = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        inner = {f.number: f.message_type for f in message.fields if f.message_type}
        tensors = {n: each for n, each in inner.items() if reaches(each)}
        if message.name == "TensorProto":
            tensors = {13: message.fields_by_name["external_data"].message_type}
        found[message.name] = {n: each.name for n, each in tensors.items()}
        waiting += [each for each in tensors.values() if each.name not in found]
    assert found == MESSAGES


@pytest.mark.parametrize(
    "content", [b"location\x0b", b"location", b"\x3a\x7flocation", b"\xff" * 20]
)
def test_what_is_no_protobuf_is_a_broken_bundle(content: bytes) -> None:
    with pytest.raises(BundleError, match="no ONNX graph"):
        backend("onnxruntime").open_session(program(content))
