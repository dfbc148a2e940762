"""How one form of a Llama is timed, in a process of its own that does nothing else.

    python -m benchmarks.peers.llm_MODULE make FORM FOLDER            writes what the form reads
    python -m benchmarks.peers.llm_MODULE check FORM FOLDER THREADS   keeps logits, times nothing
    python -m benchmarks.peers.llm_MODULE time FORM FOLDER THREADS PATIENCE
    python -m benchmarks.peers.llm_MODULE long FORM FOLDER THREADS    memory over 2,000 tokens

Every form is fed the same ids, one batch of prompt and then one id at a time, and gives the logits
of the last position each time; what it would choose itself is never fed. Timed: those calls, input
and output in memory. Not timed: the start, loading, compiling, the first call, and the filling of
the context before a decode. Batches that others disturbed are thrown away, as `timing.py` says. The
last line is one JSON document. Needs numpy alone: every peer's environment has it.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.llm_sizes import SIZES, Size, ids
from benchmarks.peers.timing import Absent, Guard, measured

PREFILLS = (16, 128, 512)  # tokens of a prompt
CONTEXTS = (16, 100, 1024, 1900)  # positions before the first token of a decode
NEW = 64  # tokens of a decode
CHECKED = (64, 40)  # tokens of the prompt, and single ones after it, whose logits are kept
LONG = (16, 2000, 100)  # tokens of the prompt, and single ones; how often memory is read
CHOICES = 200  # how often a choice is timed
Logits = NDArray[np.float32]


class Form:
    """One model in one engine, with the keys and values of what was fed to it.

    `step_bytes` are the weights that one token reads, `cache_bytes` the keys and values that it
    reads per position before it; None where the form cannot tell. `bundle` is the SHA-256 of the
    manifest of what it runs, where it has one.
    """

    step_bytes: int | None = None
    cache_bytes: int | None = None
    bundle: str | None = None

    def feed(self, tokens: list[int]) -> Logits:
        """Append ids; return the logits at the last of them, [vocabulary], until the next call."""
        raise NotImplementedError

    def cut(self, length: int) -> None:
        """Forget all positions but the first `length`."""
        raise NotImplementedError

    def choose(self, logits: Logits) -> int:
        """Pick the most probable id."""
        return int(np.argmax(logits))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a form is made of: the folder of one size, and threads."""

    folder: Path
    threads: int

    @property
    def weights(self) -> Path:
        """Where the weights lie, in Hugging Face's layout."""
        return self.folder / "hf"

    @property
    def size(self) -> Size:
        """The sizes of the model: the folder is named after them."""
        return SIZES[self.folder.name]


Open = Callable[[Job], Form]
Make = Callable[[str, Path], None]


def work(forms: Mapping[str, Open], make: Make, packages: tuple[str, ...]) -> None:
    """Do what the command line says, and print it as JSON."""
    mode, name, place, *rest = sys.argv[1:]
    folder = Path(place)
    try:
        if mode == "make":
            make(name, folder)
            told: dict[str, Any] = {}
        else:
            job = Job(folder=folder, threads=int(rest[0]))
            start = time.perf_counter()
            form = forms[name](job)
            form.feed(ids(1))
            told = {"load_s": time.perf_counter() - start}
            told |= MODES[mode](form, folder / f"{name}.npy", *map(float, rest[1:]))
    except Absent as reason:
        told = {"absent": str(reason)}
    print(json.dumps(told | {"versions": {each: version(each) for each in packages}}))


def timed(form: Form, kept: Path, patience: float) -> dict[str, Any]:
    """Keep some logits, and time prompts and decodes: ms of a prompt, tokens per second."""
    loaded = {"loaded_mb": memory("VmRSS"), "loaded_anonymous_mb": memory("RssAnon")}
    np.save(kept, checked(form))
    found = {f"prefill_{count}": prefill(form, count, patience) for count in PREFILLS}
    found |= {f"decode_{count}": decode(form, count, patience) for count in CONTEXTS}
    return {
        "figures": {name: each["figure"] for name, each in found.items()},
        "others": {name: each["others"] for name, each in found.items()},
        "thrown": sum(each["thrown"] for each in found.values()),
        "choice_us": choice(form),
        "bundle": form.bundle,
        "step_bytes": form.step_bytes,
        "cache_bytes": form.cache_bytes,
        **loaded,
        "peak_mb": memory("VmHWM"),
        "anonymous_mb": memory("RssAnon"),
    }


def checked(form: Form) -> NDArray[np.float32]:
    """Return the logits after a prompt and after each token of a few, [tokens, vocabulary]."""
    prompt, single = CHECKED
    tokens = ids(prompt + single)
    form.cut(0)
    rows = [form.feed(tokens[:prompt]).copy()]
    rows += [form.feed([each]).copy() for each in tokens[prompt:]]
    return np.stack(rows)


def prefill(form: Form, count: int, patience: float) -> dict[str, Any]:
    """Time a prompt; the figure is in ms."""
    tokens = ids(count)
    guard = Guard(warm=1, least=3, patience=patience, prepare=lambda: form.cut(0))
    told = measured(lambda: form.feed(tokens), guard)
    return told | {"figure": told["ms"]}


def decode(form: Form, context: int, patience: float) -> dict[str, Any]:
    """Time a decode behind a context; the figure is in tokens per second."""
    tokens = ids(context + NEW)

    def run() -> None:
        for each in tokens[context:]:
            form.feed([each])

    form.cut(0)
    form.feed(tokens[:context])
    guard = Guard(warm=1, least=2, patience=patience, prepare=lambda: form.cut(context))
    told = measured(run, guard)
    return told | {"figure": told["ms"] and NEW * 1e3 / told["ms"]}


def choice(form: Form) -> float:
    """Time the choice of the next id, which no figure above holds: microseconds."""
    form.cut(0)
    logits = form.feed(ids(1))
    taken = []
    for _ in range(CHOICES):
        before = time.perf_counter()
        form.choose(logits)
        taken.append(time.perf_counter() - before)
    return statistics.median(taken) * 1e6


def untimed(form: Form, kept: Path) -> dict[str, Any]:
    """Keep some logits."""
    np.save(kept, checked(form))
    return {}


def grown(form: Form, _kept: Path) -> dict[str, Any]:
    """Generate through nearly the whole context, and tell the resident memory on the way."""
    prompt, single, every = LONG
    tokens = ids(prompt + single)
    form.cut(0)
    form.feed(tokens[:prompt])
    resident = []
    for index, each in enumerate(tokens[prompt:]):
        form.feed([each])
        if index % every == 0:
            resident.append(memory("VmRSS"))
    resident.append(memory("VmRSS"))
    return {"resident_mb": resident, "grown_mb": round(resident[-1] - resident[0], 1)}


def memory(field: str) -> float:
    """Read a figure of this process in megabytes (Linux only)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith(field)).split()[1]) / 1e3, 1)


MODES: dict[str, Callable[..., dict[str, Any]]] = {
    "check": untimed,
    "time": timed,
    "long": grown,
}
