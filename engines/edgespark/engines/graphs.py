"""ONNX graphs as files: cleaned of what is not the graph, and checked."""

from pathlib import Path

import onnx

from edgespark.runtime.errors import CheckError


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop documentation and metadata: a tracer leaves source paths of the machine there."""
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")
    graph.ClearField("value_info")
    return model


def check(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Prove the graph valid: full checker, plain ONNX operators only, at the opset asked for.

    Raises CheckError otherwise.
    """
    domains = {each.domain: each.version for each in model.opset_import}
    if domains != {"": opset}:
        raise CheckError(
            f"graph needs operators of {domains}; expected plain ONNX at opset {opset}"
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckError(f"not a valid ONNX graph: {error}") from error
    return model


def inline(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Take the weights that lie in files of `folder` into the graph itself; the files stay.

    Protobuf holds less than 2 GiB: whoever calls has looked at their size.
    """
    onnx.load_external_data_for_model(model, str(folder))
    return model
