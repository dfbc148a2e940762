import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgespark.calibration.chain import open_part
from edgespark.calibration.watch import MOST, Watched, joined, watched
from edgespark.runtime.backends import Program
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Axis
from tests.calibration.small_chain import graph, image, parts

DATA = "weights.data"
ONE, TWO = (Axis(name=f"axis{n}", low=n, high=n) for n in (1, 2))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a graph whose weights lie in a file of their own."""
    part, path = parts()["encoder_rgb"], tmp_path / "encoder.onnx"
    onnx.save_model(
        onnx.load_model_from_string(graph("encoder_rgb")),
        path,
        save_as_external_data=True,
        location=DATA,
        size_threshold=64,
    )
    return Program(
        where="encoder.onnx",
        graph=path.read_bytes(),
        inputs=part.inputs,
        outputs=part.outputs,
        folder=tmp_path,
        data=(DATA,),
    )


def test_weights_in_files_are_read_with_and_without_a_change_of_form(program: Program) -> None:
    pixels = {"pixels": image(0)[None]}
    wanted = open_part("", program).run(pixels)["tokens"]
    for prepare in (None, lambda model: model):
        changed, plan = watched("encoder_rgb", program, prepare)
        made = Watched("encoder_rgb", open_part("", changed), program, plan)
        assert np.allclose(made.run(pixels)["tokens"], wanted)
        made.settle()
        assert set(made.statistics()) == {"pixels", "rows"}
        assert made.peaks()["tokens"] == pytest.approx(np.abs(wanted).max())


def test_a_graph_that_is_too_large_for_one_message_is_refused(program: Program) -> None:
    assert program.folder is not None
    os.truncate(program.folder / DATA, MOST)  # a hole: no space is taken
    with pytest.raises(InputError, match=r"encoder_rgb: its weights take 2\.0 GiB"):
        watched("encoder_rgb", program, lambda model: model)
    assert watched("encoder_rgb", program, None)[0].data == (DATA,)


def test_the_caller_gets_what_the_manifest_promises_and_no_more(program: Program) -> None:
    changed, plan = watched("encoder_rgb", program, None)
    made = Watched("encoder_rgb", open_part("", changed), program, plan)
    assert set(made.run({"pixels": image(0)[None]})) == {"tokens"}
    tokens = np.zeros((1, 2, 3), np.float32)
    assert made.run({"pixels": image(0)[None]}, {"tokens": tokens})["tokens"] is tokens


def test_a_mask_of_minus_infinity_is_no_overflow_where_no_product_reads_it() -> None:
    node, real = onnx.helper.make_node, onnx.TensorProto.FLOAT
    mask = onnx.numpy_helper.from_array(np.array([0, -np.inf], np.float32), "mask")
    value = onnx.helper.make_tensor_value_info("x", real, [1, 2])
    nodes = [node("Add", ["x", "mask"], ["masked"]), node("Softmax", ["masked"], ["y"])]
    made = onnx.helper.make_graph(
        nodes, "masked", [value], [onnx.helper.make_tensor_value_info("y", real, [1, 2])], [mask]
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    content = onnx.helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()
    x = replace(parts()["bridge"].inputs[0], name="x", axes=(ONE, TWO))
    y = replace(x, name="y")
    program = Program(where="masked.onnx", graph=content, inputs=(x,), outputs=(y,))
    changed, plan = watched("bridge", program, None)
    session = Watched("bridge", open_part("", changed), program, plan)
    session.run({"x": np.ones((1, 2), np.float32)})
    assert session.peaks() == {"x": 1.0, "masked": float(np.finfo(np.float32).max), "y": 1.0}


def test_runs_of_one_sample_are_joined_where_all_but_their_length_is_alike() -> None:
    short, long, other = (np.ones(shape) for shape in ((1, 2, 4), (1, 3, 4), (1, 2, 5)))
    assert [each.shape for each in joined([short, long])] == [(1, 5, 4)]
    assert [each.shape for each in joined([short, other])] == [(1, 2, 4), (1, 2, 5)]
    assert [each.shape for each in joined([np.ones(3), np.ones(3)])] == [(3,), (3,)]
    assert list(joined([])) == []
