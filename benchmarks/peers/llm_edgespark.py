"""The Llama as a bundle in our runtime, its decoder fed by the loop that `generate` runs.

A form runs the graph that was derived for the CPU where there is one; those named `portable` run
the bundle's own. Weights are rounded to the nearest as those of the peers are, 4 bits in blocks of
128 (`b32`: of 32, `b64`: of 64; `signed`: with scales of either sign, and so `b256`). In `kv8` keys
and values are int8, by ranges of a few texts of random words, others than those that are fed.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from benchmarks.peers.llm_timing import Form, Job, Logits, work
from edgespark.runtime import load
from edgespark.runtime.lowered import Source
from edgespark.runtime.manifest import Port
from edgespark.runtime.sampling import Sampling, chooser
from edgespark.runtime.stats import Record

RECIPE = Path(__file__).with_name("llm_recipe.py")
PLAIN, KV8 = "edgespark", "edgespark-kv8"  # folders of bundles
B32, B64, B64_KV8 = "edgespark-b32", "edgespark-b64", "edgespark-b64-kv8"
SIGNED, SIGNED_KV8 = "edgespark-signed", "edgespark-signed-kv8"
B256, B256_KV8 = "edgespark-b256", "edgespark-b256-kv8"
FORMS_OF: dict[str, tuple[str, str, bool]] = {  # bundle, variant, and whether it stays portable
    "edgespark-fp32": (PLAIN, "fp32", False),
    "edgespark-int8": (PLAIN, "int8", False),
    "edgespark-int4": (PLAIN, "int4", False),
    "edgespark-int4-b32": (B32, "int4", False),
    "edgespark-int4-b64": (B64, "int4", False),
    "edgespark-int8-kv8": (KV8, "int8", False),
    "edgespark-int4-kv8": (KV8, "int4", False),
    "edgespark-int4-b64-kv8": (B64_KV8, "int4", False),
    "edgespark-int4-signed": (SIGNED, "int4", False),
    "edgespark-int4-signed-kv8": (SIGNED_KV8, "int4", False),
    "edgespark-int4-b256": (B256, "int4", False),
    "edgespark-int4-b256-kv8": (B256_KV8, "int4", False),
    "edgespark-int8-portable": (PLAIN, "int8", True),
    "edgespark-int4-portable": (PLAIN, "int4", True),
}
CACHE = ("--int8-cache", "--rounding", "nearest")
OPTIONS = {
    PLAIN: ("--precision", "fp32,int8,int4", "--weights-only"),
    B32: ("--precision", "int4", "--block", "32"),
    B64: ("--precision", "int4", "--block", "64"),
    KV8: ("--precision", "int8,int4", *CACHE),
    SIGNED: ("--precision", "int4", "--signed-scales"),
    B256: ("--precision", "int4", "--signed-scales", "--block", "256"),
    B256_KV8: ("--precision", "int4", "--signed-scales", "--block", "256", *CACHE),
    SIGNED_KV8: ("--precision", "int4", "--signed-scales", *CACHE),
    B64_KV8: ("--precision", "int4", "--block", "64", *CACHE),
}
NARROW = {("1B", "fp32,int8,int4"): "int8"}  # the rest would be 8 GB


class Edgespark(Form):
    """The runtime's loop: prompts in chunks, then bound steps."""

    def __init__(self, job: Job, name: str) -> None:
        """Load the bundle; the decoder is opened by the first id that is fed."""
        folder, variant, is_portable = FORMS_OF[name]
        root = job.folder / folder
        self._spark = load(
            root, device="cpu", precision=variant, threads=job.threads, portable=is_portable
        )
        self._loop = self._spark._model._opened()  # noqa: SLF001 `generate` feeds its own ids
        self._record = Record()
        self._ids: list[int] = []
        self._choose: Callable[[Logits], int] = chooser(Sampling(temperature=0))
        parts, language = self._spark._model._parts, self._spark.manifest.language  # noqa: SLF001
        decoder = parts.source(language.decoder)
        if is_portable != (decoder.found is None):
            raise SystemExit(f"{root}: no graph derived by this version: edgespark build it")
        self.step_bytes, self.cache_bytes = read(decoder)
        self.bundle = self._spark.manifest.sha256

    def cut(self, length: int) -> None:
        """Forget the last positions."""
        self._loop.forget(len(self._ids) - length)
        self._ids = self._ids[:length]

    def feed(self, tokens: list[int]) -> Logits:
        """Feed a prompt as `generate` does, or one more id."""
        begin, self._ids = self._ids, [*self._ids, *tokens]
        if begin and len(tokens) == 1:
            return np.asarray(self._loop.step(tokens, self._record)[0], np.float32)
        rows = self._loop.put([self._ids], self._record)
        *_, made = self._loop.feed(rows, self._record)
        return np.asarray(made["logits"][0, 0], np.float32)

    def choose(self, logits: Logits) -> int:
        """Pick as `generate` does at temperature 0."""
        return self._choose(logits)


def read(source: Source) -> tuple[int, int]:
    """Count the bytes that one token reads: of weights, and of keys and values per position."""
    files = (source.graph.file, *source.graph.data)
    pasts = [each.past for each in source.graph.states]
    cache = sum(np.dtype(each.dtype).itemsize * _numbers(each) for each in pasts)
    return sum(each.bytes for each in files), cache


def _numbers(past: Port) -> int:
    return prod(axis.high for axis in past.axes if axis.name in ("heads", "head_dim"))


def make(form: str, folder: Path) -> None:
    """Export the bundle that a form reads, and derive its graphs for the CPU.

    One that is there stays, if it was made with the same options.
    """
    name, _, _ = FORMS_OF[form]
    out, stamp = folder / name, folder / f"{name}.options"
    more = [NARROW.get((folder.name, each), each) for each in OPTIONS[name]]
    if {*CACHE} & {*more}:
        from benchmarks.peers.llm_texts import texts  # noqa: PLC0415 it brings onnx into memory

        more += ["--calibration", str(texts(folder))]
    if out.exists() and stamp.exists() and stamp.read_text() == " ".join(more):
        return
    given = [RECIPE, "--checkpoint", folder / "hf", "--out", out, "--target", "cpu", "--replace"]
    program = "from edgespark.runtime.cli import export_engines; raise SystemExit(export_engines())"
    command = [sys.executable, "-c", program, *map(str, given), *more]
    subprocess.run(command, stdout=sys.stderr, check=True)  # noqa: S603 our own command
    stamp.write_text(" ".join(more))


FORMS = {name: partial(lambda name, job: Edgespark(job, name), name) for name in FORMS_OF}

if __name__ == "__main__":
    work(FORMS, make, ("onnxruntime", "numpy"))
