"""The small chain with an encoder in int8, which has another form on a CPU."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgespark.engines.build import Outcome, build, chosen
from edgespark.engines.passes.quantize import quantize
from edgespark.engines.targets import TARGETS
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Variant
from tests.calibration.small_chain import graph, parts, small
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import Array, StandIn, file

CPU = TARGETS["cpu"]
PATH = "graphs/encoder_rgb.int8.onnx"


def derivable(root: Path) -> Bundle:
    """Write the bundle, and open it."""
    whole = small(root).manifest
    encoder = whole.part("encoder_rgb")
    narrow = replace(encoder.graphs[0], precision="int8", file=file(PATH), limit=0.1)
    parts = [
        replace(each, graphs=(*each.graphs, narrow)) if each.name == encoder.name else each
        for each in whole.parts
    ]
    wide = whole.variants[0]
    variant = Variant(name="int8", precisions={**wide.precisions, encoder.name: "int8"})
    manifest = replace(whole, parts=tuple(parts), variants=(wide, variant))
    model = quantize(onnx.load_from_string(graph("encoder_rgb")), {"tokens"}, {"rows": 4.0})
    files = {each.graphs[0].file.path: graph(each.name) for each in whole.parts}
    files[PATH] = model.SerializeToString()
    files[encoder.reference.path] = npz(references())
    return Bundle.open(write(StandIn(manifest=manifest), root, files))


def references() -> dict[str, Array]:
    session = onnxruntime.InferenceSession(graph("encoder_rgb"))
    shape = (2, *(axis.low for axis in parts()["encoder_rgb"].inputs[0].axes[1:]))
    pixels = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    return {"0.in.pixels": pixels, "0.out.tokens": session.run(None, {"pixels": pixels})[0]}


def built(bundle: Bundle) -> dict[str, Outcome]:
    """Build all for a CPU; outcomes by "PART PRECISION"."""
    done = list(build(chosen(bundle), CPU, threads=1))
    return {f"{each.job.part.name} {each.job.graph.precision}": each for each in done}


if __name__ == "__main__":
    sys.stdout.write(built(Bundle.open(sys.argv[1]))["encoder_rgb int8"].state)
