"""Weights go one by one into a file beside the graph, or nothing of it stays."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgespark.engines.absent import absent, is_absent, proven, transpose
from edgespark.engines.graphs import clean
from edgespark.engines.streamed import store
from edgespark.engines.weight_only import PRECISIONS
from edgespark.runtime.backends.external import locations
from edgespark.runtime.errors import CheckError, InputError
from edgespark.runtime.manifest import Precision
from tests.engines.weightless import SHAPES, Array, absent_shapes, weightless, weights


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let every write beyond `size` bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def outside(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    return {
        each.name: {entry.key: entry.value for entry in each.external_data}
        for each in model.graph.initializer
        if each.data_location == TensorProto.DataLocation.EXTERNAL
    }


def test_a_graph_lists_what_it_waits_for_as_the_module_has_it() -> None:
    assert absent_shapes(weightless()) == SHAPES
    assert absent_shapes(clean(weightless())) == SHAPES
    assert is_absent(absent("w", TensorProto.FLOAT, [3]))


def test_a_matrix_turned_twice_is_as_it_was() -> None:
    tensor = absent("w", TensorProto.FLOAT, [3, 5])
    transpose(tensor)
    assert list(tensor.dims) == [5, 3]
    transpose(tensor)
    assert tensor == absent("w", TensorProto.FLOAT, [3, 5])


def test_a_graph_without_weights_is_proven_too() -> None:
    assert proven(weightless(), 18) == weightless()
    broken = weightless()
    broken.graph.initializer[1].CopyFrom(absent("up.weight", TensorProto.FLOAT, [5, 5]))
    with pytest.raises(CheckError, match="not a valid ONNX graph"):
        proven(broken, 18)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_large_tensors_lie_in_the_file_and_small_ones_in_the_graph(
    precision: Precision, tmp_path: Path
) -> None:
    waiting, drawn = weightless(), weights()
    model = store(waiting, drawn.__getitem__, tmp_path, "g.data", precision)
    assert waiting == weightless()
    size = (tmp_path / "g.data").stat().st_size
    assert locations(model.SerializeToString()) == {"g.data"}
    ends = [int(each["offset"]) + int(each["length"]) for each in outside(model).values()]
    assert max(ends) == size
    assert all(int(each["offset"]) % 64 == 0 for each in outside(model).values())
    inside = [each for each in model.graph.initializer if each.name not in outside(model)]
    assert all(each.name == "gain" or len(each.raw_data) < 1024 for each in inside)


def test_a_tensor_that_is_worth_a_page_starts_one(tmp_path: Path) -> None:
    dims = {"a": [300], "b": [128, 256], "c": [300]}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"{name}.out"]) for name in dims],
            "g",
            [],
            [
                helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, shape)
                for name, shape in dims.items()
            ],
            [absent(name, TensorProto.FLOAT, shape) for name, shape in dims.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    drawn = {
        name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        for name, shape in dims.items()
    }
    made = store(model, drawn.__getitem__, tmp_path, "g.data", "fp32")
    offsets = {name: int(each["offset"]) for name, each in outside(made).items()}
    assert offsets == {"a": 0, "b": 4096, "c": 4096 + 4 * 128 * 256}
    found = (tmp_path / "g.data").read_bytes()[4096 : 4096 + 4 * 128 * 256]
    assert found == drawn["b"].tobytes()


def test_weights_of_float16_are_widened(tmp_path: Path) -> None:
    drawn = {name: each.astype(np.float16) for name, each in weights().items()}
    model = store(weightless(), drawn.__getitem__, tmp_path, "g.data", "fp32")
    place = outside(model)["head.weight"]
    content = np.fromfile(tmp_path / "g.data", np.float32)[int(place["offset"]) // 4 :]
    wanted = drawn["head.weight"].T.astype(np.float32)
    assert (content[: wanted.size].reshape(wanted.shape) == wanted).all()


def test_a_weight_that_is_missing_is_named(tmp_path: Path) -> None:
    drawn = weights()
    del drawn["narrow.weight"]
    with pytest.raises(InputError, match=r"'narrow\.weight', which the weights lack"):
        store(weightless(), drawn.__getitem__, tmp_path, "g.data", "fp32")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("up.weight", np.zeros((64, 96), np.float32)),
        ("gain", np.zeros((1, 64), np.float32)),
        ("gain", np.zeros(64, np.int32)),
        ("gain", np.zeros(64, np.float64)),
    ],
)
def test_a_weight_of_another_shape_or_dtype_is_named(
    name: str, given: Array, tmp_path: Path
) -> None:
    drawn = weights() | {name: given}
    with pytest.raises(InputError, match=rf"{name}: got {given.dtype} \[.*expected float16 or"):
        store(weightless(), drawn.__getitem__, tmp_path, "g.data", "int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["up.weight", "head.weight", "table", "gain"])
def test_a_weight_that_is_no_number_is_named(
    name: str, precision: Precision, value: float, tmp_path: Path
) -> None:
    drawn = weights()
    drawn[name][..., -1] = value
    with pytest.raises(InputError, match=f"{name} holds NaN or infinity"):
        store(weightless(), drawn.__getitem__, tmp_path, "g.data", precision)
    assert not list(tmp_path.iterdir())


def test_a_weight_beyond_float16_is_named(tmp_path: Path) -> None:
    drawn = weights()
    drawn["up.weight"][0, 0] = 70000
    with pytest.raises(InputError, match=r"up\.weight holds more than .*FLOAT16"):
        store(weightless(), drawn.__getitem__, tmp_path, "g.data", "fp16")


def test_nothing_stays_where_the_disk_is_full(tmp_path: Path) -> None:
    with files_of_at_most(20_000), pytest.raises(OSError, match="too large") as caught:
        store(weightless(), weights().__getitem__, tmp_path, "g.data", "fp32")
    assert caught.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_nothing_stays_where_the_weights_cannot_be_read(tmp_path: Path) -> None:
    drawn = weights()

    def source(name: str) -> Array:
        if name == "head.weight":
            raise OSError(errno.EIO, "cut cable")
        return drawn[name]

    with pytest.raises(OSError, match="cut cable"):
        store(weightless(), source, tmp_path, "g.data", "fp32")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "g.data").write_text("mine")
    with pytest.raises(FileExistsError):
        store(weightless(), weights().__getitem__, tmp_path, "g.data", "fp32")
    assert (tmp_path / "g.data").read_text() == "mine"
