"""Make the graphs of the encoder: fp32 by our export, INT8 by our passes, and their CPU lowerings.

python -m benchmarks.peers.graphs FOLDER DEPTH THREADS
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.peers.model import pictures, stage
from edgespark.calibration.ranges import PartCalibration, Provenance
from edgespark.calibration.watch import Watched, watched
from edgespark.engines.cpu_parts import lower_part
from edgespark.engines.int8 import Int8, quantised
from edgespark.engines.passes.prepare import prepared
from edgespark.export.stage import Stage
from edgespark.export.trace import trace
from edgespark.runtime.backends import Program
from edgespark.runtime.backends.onnxruntime import open_session
from edgespark.runtime.manifest import Precision

CALIBRATION = 8  # pictures
NONE = "0" * 64  # pictures that are drawn here are no set
LOWERED: dict[str, tuple[str, Precision]] = {  # file: what it is made of
    "cpu.onnx": ("portable.onnx", "int8"),
    "fp32-cpu.onnx": ("fp32.onnx", "fp32"),
}


def calibrated(program: Program, fed: NDArray[np.float32]) -> PartCalibration:
    """Run the pictures on the graph, and gather what its tensors hold."""
    shown, plan = watched(program.where, program, prepared)
    session = Watched(program.where, open_session(shown), program, plan)
    for each in fed:
        session.run({"pixels": each})
        session.settle()
    origin = Provenance(set=NONE, graph=NONE, preprocessing={}, samples={"image": len(fed)})
    return PartCalibration(
        part=program.where,
        provenance=origin,
        tensors=session.statistics(),
        peaks=session.peaks(),
    )


def program_of(made: Stage, graph: bytes, threads: int) -> Program:
    """Tell the runtime what it needs to open a graph of this stage."""
    return Program(
        where=made.name, graph=graph, inputs=made.inputs, outputs=made.outputs, threads=threads
    )


def main() -> None:
    """Write pictures and graphs, and print the share of the work that is INT8."""
    folder, depth, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    fed = pictures(CALIBRATION, seed=0)
    np.save(folder / "calibration.npy", fed)
    np.save(folder / "timed.npy", pictures(1, seed=1)[0])
    made = stage(depth)
    graph = trace(made)
    (folder / "fp32.onnx").write_bytes(graph)
    calibration = calibrated(program_of(made, graph, threads), fed)
    portable, report = quantised(onnx.load_from_string(graph), calibration, Int8())
    onnx.save(portable, folder / "portable.onnx")
    for name, (of, precision) in LOWERED.items():
        for each in (folder / name, folder / f"{name}.data"):
            each.unlink(missing_ok=True)
        lower_part(folder / of, "encoder", precision, folder / name)
    print(json.dumps({"int8_share": report.share("int8")}))


if __name__ == "__main__":
    main()
