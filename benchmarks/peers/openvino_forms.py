"""The encoder in OpenVINO: the same fp32 graph, and INT8 as NNCF makes it of the same pictures.

python -m benchmarks.peers.openvino_forms int8 FOLDER    makes the INT8 model
"""

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.timing import Job, Run, work

# neither is installed where types are checked
openvino: Any = import_module("openvino")


def compiled(job: Job, name: str, precision: str | None) -> Run:
    """Compile a model for the least latency; `precision` is that of what is not INT8."""
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": job.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    core = openvino.Core()
    request = core.compile_model(job.folder / name, "CPU", options).create_infer_request()
    fed = {0: job.picture}
    return lambda: request.infer(fed)[0]


def quantise(folder: Path) -> None:
    """Post-training quantisation as NNCF advises for transformers."""
    nncf: Any = import_module("nncf")
    fed = list(np.load(folder / "calibration.npy"))
    made = nncf.quantize(
        openvino.Core().read_model(folder / "fp32.onnx"),
        nncf.Dataset(fed),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(fed),
    )
    openvino.save_model(made, folder / "openvino-int8.xml", compress_to_fp16=False)


FORMS = {
    "openvino-fp32": lambda job: compiled(job, "fp32.onnx", "f32"),
    "openvino-bf16": lambda job: compiled(job, "fp32.onnx", "bf16"),
    "openvino-int8": lambda job: compiled(job, "openvino-int8.xml", None),
    "openvino-int8-fp32": lambda job: compiled(job, "openvino-int8.xml", "f32"),
}

if __name__ == "__main__":
    if sys.argv[1] == "int8":
        quantise(Path(sys.argv[2]))
        print(json.dumps({"nncf": version("nncf")}))
    else:
        work(FORMS, ("openvino", "nncf", "numpy"))
