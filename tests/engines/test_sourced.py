"""A graph gives its weights one by one, from wherever they lie, and they are written one by one."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgespark.engines.absent import absent, is_absent
from edgespark.engines.sourced import Sourced, opened, sourced, written
from edgespark.runtime.errors import BundleError
from tests.engines.typed import Array, normal

CODES = np.arange(-8, 8, dtype=np.int8).repeat(161).reshape(-1, 161)  # an odd number of columns


def model() -> onnx.ModelProto:
    """Make a graph of one product, and of constants of all kinds."""
    int4 = helper.make_tensor("codes", TensorProto.INT4, CODES.shape, CODES.reshape(-1).tolist())
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "wide"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 40])],
        [
            numpy_helper.from_array(normal(32, 40), "wide"),
            numpy_helper.from_array(normal(900, seed=1), "vector"),
            numpy_helper.from_array(np.array([3]), "small"),
            numpy_helper.from_array(np.arange(-500, 524).reshape(4, 256).astype(np.int8), "bytes"),
            int4,
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def outside(folder: Path) -> Path:
    """Write the graph, with all that is larger than a number in a file beside it."""
    path = folder / "given.onnx"
    onnx.save(model(), path, save_as_external_data=True, location="given.data", size_threshold=16)
    return path


def content(given: Sourced) -> dict[str, Array]:
    return {each.name: given.array(each.name) for each in given.model.graph.initializer}


def same(got: dict[str, Array], wanted: dict[str, Array]) -> bool:
    return got.keys() == wanted.keys() and all(
        np.array_equal(got[name], array) and got[name].dtype == array.dtype
        for name, array in wanted.items()
    )


def test_matrices_wait_and_vectors_stay() -> None:
    given = sourced(model())
    waiting = {each.name for each in given.model.graph.initializer if is_absent(each)}
    assert waiting == {"wide", "bytes", "codes"}
    assert np.array_equal(given.array("codes"), CODES)
    assert given.array("codes").dtype == np.int8
    assert np.array_equal(given.array("wide"), normal(32, 40))
    with pytest.raises(KeyError):
        given.array("x")


def test_it_is_all_the_same_where_weights_lie(tmp_path: Path) -> None:
    assert same(content(opened(outside(tmp_path))), content(sourced(model())))


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_what_is_written_holds_the_same(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgespark.engines.sourced.INLINE", limit)
    into = tmp_path / "made.onnx"
    data = written(opened(outside(tmp_path)), into)
    assert data == (("made.onnx.data",) if limit == 0 else ())
    assert {each.name for each in tmp_path.glob("made*")} == {into.name, *data}
    assert same(content(opened(into)), content(sourced(model())))
    onnx.checker.check_model(into, full_check=True)


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    into = tmp_path / "made.onnx"
    into.write_text("something")
    with pytest.raises(FileExistsError):
        written(sourced(model()), into)
    assert into.read_text() == "something"


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_nothing_is_left_where_a_weight_cannot_be_made(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgespark.engines.sourced.INLINE", limit)

    def broken(name: str) -> Array:
        if name == "bytes":
            raise OSError("the disk is gone")
        return sourced(model()).source(name)

    given = Sourced(model=sourced(model()).model, source=broken)
    with pytest.raises(OSError, match="the disk is gone"):
        written(given, tmp_path / "made.onnx")
    assert not list(tmp_path.iterdir())


def test_a_weight_of_another_shape_than_was_said_is_an_error(tmp_path: Path) -> None:
    given = sourced(model())
    made = Sourced(model=given.model, source=lambda name: given.source(name)[:1])
    with pytest.raises(ValueError, match=r"wide: made float32 \(1, 40\), said float32 \(32, 40\)"):
        written(made, tmp_path / "made.onnx")


@pytest.mark.parametrize("name", ["../given.data", "gone.data", ".", ""])
def test_data_is_looked_for_beside_the_graph_alone(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "given.data").write_bytes(bytes(1 << 14))
    made = onnx.load(outside(folder), load_external_data=False)
    for each in made.graph.initializer:
        for entry in each.external_data:
            if entry.key == "location":
                entry.value = name
    (folder / "strange.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(BundleError, match="no such file"):
        content(opened(folder / "strange.onnx"))


def test_data_that_ends_too_early_is_told(tmp_path: Path) -> None:
    path = outside(tmp_path)
    held = (tmp_path / "given.data").read_bytes()
    (tmp_path / "given.data").write_bytes(held[:-100])
    with pytest.raises(BundleError, match="ends beyond the file"):
        content(opened(path))


def test_weights_are_in_memory_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgespark.engines.sourced.INLINE", 0)
    rows, names = 1 << 10, [f"w{n}" for n in range(24)]
    made = onnx.ModelProto()
    made.CopyFrom(model())
    made.graph.initializer.extend(absent(name, TensorProto.FLOAT, (rows, rows)) for name in names)
    makers: dict[str, Callable[[], Array]] = {
        name: lambda: np.ones((rows, rows), np.float32) for name in names
    }
    given = Sourced(model=made, source=sourced(model()).adding(makers))
    tracemalloc.start()
    try:
        written(given, tmp_path / "made.onnx")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * rows * rows * 4


def without_outputs(given: onnx.ModelProto) -> None:
    del given.graph.node[0].output[:]


def with_one_input(given: onnx.ModelProto) -> None:
    del given.graph.node[0].input[1:]


def of_an_unknown_dtype(given: onnx.ModelProto) -> None:
    given.graph.initializer[0].data_type = 99


def cut_short(given: onnx.ModelProto) -> None:
    given.graph.initializer[0].raw_data = given.graph.initializer[0].raw_data[:-1]


def of_no_offset(given: onnx.ModelProto) -> None:
    weight = given.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.DataLocation.EXTERNAL
    for key, value in {"location": "given.data", "offset": "abc"}.items():
        weight.external_data.add(key=key, value=value)


@pytest.mark.parametrize(
    "damage", [without_outputs, with_one_input, of_an_unknown_dtype, cut_short, of_no_offset]
)
def test_a_malformed_graph_is_told(
    damage: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    made = model()
    damage(made)
    path = tmp_path / "given.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(BundleError):
        opened(path).array("wide")
