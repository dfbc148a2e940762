"""The Llama in onnxruntime-genai: graphs of its own builder, its own generator fed with given ids.

Of 4 bits there are the builder's defaults for a CPU (blocks of 32, int8 activations), and blocks
of 128 with 8 bits for the logits, which are faster; both compute the logits of the last position
alone.
"""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.llm_sizes import CONTEXT
from benchmarks.peers.llm_timing import Form, Job, Logits, work

genai: Any = import_module("onnxruntime_genai")  # not installed where types are checked

LAST = "prune_lm_head=true"
BUILDS: dict[str, tuple[str, ...]] = {  # precision, and the builder's extra options
    "genai-fp32": ("fp32", LAST),
    "genai-int8": ("int8", LAST, "block_size=128"),
    "genai-int4": ("int4", LAST),
    "genai-int4-128": (
        *("int4", LAST, "block_size=128"),
        *("algo_config=rtn", "matmul_mixed_precision=last_matmul:int8"),
    ),
}


class Genai(Form):
    """One generator, which is wound back where it is to forget."""

    def __init__(self, job: Job, name: str) -> None:
        """Read the model; threads are told by its configuration."""
        self._config = genai.Config(str(_folder(job.folder, name)))
        options = {"intra_op_num_threads": job.threads, "inter_op_num_threads": 1}
        self._config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = genai.Model(self._config)
        self._parameters = genai.GeneratorParams(self._model)
        self._parameters.set_search_options(max_length=CONTEXT, min_length=0, do_sample=False)
        self._generator = genai.Generator(self._model, self._parameters)

    def cut(self, length: int) -> None:
        """Wind back."""
        self._generator.rewind_to(length)

    def feed(self, tokens: list[int]) -> Logits:
        """Append ids, which runs the model."""
        self._generator.append_tokens(np.array([tokens], np.int32))
        found = self._generator.get_logits()
        return np.asarray(found.reshape(-1, found.shape[-1])[-1], np.float32)


def make(form: str, folder: Path) -> None:
    """Run the builder, unless what it makes is there."""
    out = _folder(folder, form)
    if (out / "genai_config.json").exists():
        return
    precision, *extra = BUILDS[form]
    options = ["-i", folder / "hf", "-o", out, "-p", precision, "-e", "cpu", "-c", out / "cache"]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", *map(str, options)]
    subprocess.run(  # noqa: S603 the peer's own program
        [*command, "--extra_options", *extra], stdout=sys.stderr, check=True
    )


def _folder(folder: Path, form: str) -> Path:
    return folder / "genai" / form


def _opened(name: str) -> Any:  # noqa: ANN401 a function
    return lambda job: Genai(job, name)


FORMS = {name: _opened(name) for name in BUILDS}

if __name__ == "__main__":
    work(FORMS, make, ("onnxruntime-genai", "onnxruntime", "numpy"))
