"""The encoder in ONNX Runtime: fp32 with its defaults, and our graphs as our runtime opens them."""

from dataclasses import replace

import onnxruntime

from benchmarks.peers.graphs import program_of
from benchmarks.peers.model import stage
from benchmarks.peers.timing import Job, Run, work
from edgespark.runtime.backends.onnxruntime import open_session


def plain(job: Job) -> Run:
    """Open the fp32 graph with ONNX Runtime's defaults."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(
        job.folder / "fp32.onnx", options, ["CPUExecutionProvider"]
    )
    fed = {"pixels": job.picture}
    return lambda: session.run(None, fed)[0]


def ours(job: Job, name: str) -> Run:
    """Open one of our graphs, its weights beside it, with our runtime."""
    program = program_of(stage(0), (job.folder / name).read_bytes(), job.threads)
    if (data := job.folder / f"{name}.data").exists():
        program = replace(program, folder=job.folder, data=(data.name,))
    session = open_session(program)
    fed = {"pixels": job.picture}
    return lambda: session.run(fed)["tokens"]


FORMS = {
    "onnxruntime-fp32": plain,
    "onnxruntime-fp32-cpu": lambda job: ours(job, "fp32-cpu.onnx"),
    "onnxruntime-int8-portable": lambda job: ours(job, "portable.onnx"),
    "onnxruntime-int8-cpu": lambda job: ours(job, "cpu.onnx"),
}

if __name__ == "__main__":
    work(FORMS, ("onnxruntime", "numpy"))
