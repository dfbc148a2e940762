"""The encoder in ONNX Runtime: fp32 as it opens a graph by default, INT8 as our runtime does."""

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
    """Open one of our graphs with our runtime."""
    graph = (job.folder / name).read_bytes()
    session = open_session(program_of(stage(0), graph, job.threads))
    fed = {"pixels": job.picture}
    return lambda: session.run(fed)["tokens"]


FORMS = {
    "onnxruntime-fp32": plain,
    "onnxruntime-int8-portable": lambda job: ours(job, "portable.onnx"),
    "onnxruntime-int8-cpu": lambda job: ours(job, "cpu.onnx"),
}

if __name__ == "__main__":
    work(FORMS, ("onnxruntime", "numpy"))
