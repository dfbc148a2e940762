"""The operators that ONNX Runtime adds to ONNX: only ONNX Runtime runs a graph with them."""

import onnx
from onnx import helper

__all__ = ["CONTRIBUTED", "import_contributed"]

CONTRIBUTED = "com.microsoft"


def import_contributed(model: onnx.ModelProto) -> None:
    """Let a graph use them."""
    if not any(each.domain == CONTRIBUTED for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
