"""A small graph that waits for its weights: a table, a layer, a norm, and logits; and the weights.

As its module has them, linear weights are [out, in].
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgespark.engines.absent import absent, is_absent, module_shape, transpose

Array = NDArray[np.generic]

WIDTH, HIDDEN, VOCABULARY = 64, 96, 31
SHAPES = {
    "table": (VOCABULARY, WIDTH),
    "up.weight": (HIDDEN, WIDTH),
    "up.bias": (HIDDEN,),
    "narrow.weight": (WIDTH, HIDDEN),
    "gain": (WIDTH,),
    "head.weight": (VOCABULARY, WIDTH),
}


def weights(seed: int = 0) -> dict[str, Array]:
    """Draw all weights, float32."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.standard_normal(shape) * shape[-1] ** -0.5).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def weightless() -> onnx.ModelProto:
    """Make the graph: ids [n] → logits [n, vocabulary]; its matrices are [in, out]."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "up.weight"], ["up.product"]),
        helper.make_node("Add", ["up.product", "up.bias"], ["up"]),
        helper.make_node("Sigmoid", ["up"], ["gate"]),
        helper.make_node("MatMul", ["gate", "narrow.weight"], ["narrow"]),
        helper.make_node("Mul", ["narrow", "gain"], ["normed"]),
        helper.make_node("MatMul", ["normed", "head.weight"], ["logits"]),
    ]
    tensors = [absent(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()]
    for each in tensors:
        if each.name.endswith(".weight"):
            transpose(each)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", VOCABULARY])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def expected(given: dict[str, Array], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the graph in float64."""
    w = {name: each.astype(np.float64) for name, each in given.items()}
    up = w["table"][ids] @ w["up.weight"].T + w["up.bias"]
    narrow = (1 / (1 + np.exp(-up))) @ w["narrow.weight"].T
    made: NDArray[np.float64] = narrow * w["gain"] @ w["head.weight"].T
    return made


def run(
    model: onnx.ModelProto, folder: Path, fed: dict[str, Array], optimised: str = ""
) -> NDArray[np.float32]:
    """Run a stored graph; write what ONNX Runtime has made of it where asked."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = optimised
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    made: NDArray[np.float32] = session.run(None, fed)[0]
    return made


def absent_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """List the parameters that the graph waits for, with their shapes in the module."""
    return {each.name: module_shape(each) for each in model.graph.initializer if is_absent(each)}
