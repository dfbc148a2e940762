"""What comes before calibration and INT8: a graph of the same function in the form they want."""

import onnx

from edgespark.engines.passes.equalise import equalise
from edgespark.engines.passes.merge_projections import merge_projections
from edgespark.engines.passes.patches_to_products import patches_to_products
from edgespark.engines.passes.sequences_to_products import sequences_to_products
from edgespark.engines.passes.straight_products import straight_products

__all__ = ["prepared"]

PASSES = (
    straight_products,
    patches_to_products,
    sequences_to_products,
    merge_projections,
    equalise,
)


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write linear maps as one MatMul and Add each, and even out convolutions in a row.

    Needs: a float32 graph. Gives: the same function; doing it twice changes nothing more.
    """
    for each in PASSES:
        model = each(model)
    return model
