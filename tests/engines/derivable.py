"""The small chain with a bridge in int8, which has another form on a CPU."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgespark.engines.build import Outcome, build, chosen
from edgespark.engines.passes.quantize import quantize
from edgespark.engines.targets import TARGETS
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Variant
from tests.calibration.small_chain import graph, small
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import FUNCTIONS, Array, StandIn, file

CPU = TARGETS["cpu"]
PATH = "graphs/bridge.int8.onnx"


def derivable(root: Path) -> Bundle:
    """Write the bundle, and open it."""
    whole = small(root).manifest
    bridge = whole.part("bridge")
    narrow = replace(bridge.graphs[0], precision="int8", file=file(PATH), limit=0.1)
    parts = [
        replace(each, graphs=(*each.graphs, narrow)) if each.name == "bridge" else each
        for each in whole.parts
    ]
    wide = whole.variants[0]
    variant = Variant(name="int8", precisions={**wide.precisions, "bridge": "int8"})
    manifest = replace(whole, parts=tuple(parts), variants=(wide, variant))
    model = quantize(onnx.load_from_string(graph("bridge")), {"tokens"}, {"media": 4.0})
    files = {each.graphs[0].file.path: graph(each.name) for each in whole.parts}
    files[PATH] = model.SerializeToString()
    files[bridge.reference.path] = npz(references())
    return Bundle.open(write(StandIn(manifest=manifest), root, files))


def references() -> dict[str, Array]:
    media = np.random.default_rng(4).normal(size=(2, 5, 3)).astype(np.float32)
    return {"0.in.media": media, "0.out.tokens": FUNCTIONS["bridge"]({"media": media})["tokens"]}


def built(bundle: Bundle) -> dict[str, Outcome]:
    """Build all for a CPU; outcomes by "PART PRECISION"."""
    done = list(build(chosen(bundle), CPU, threads=1))
    return {f"{each.job.part.name} {each.job.graph.precision}": each for each in done}


if __name__ == "__main__":
    sys.stdout.write(built(Bundle.open(sys.argv[1]))["bridge int8"].state)
