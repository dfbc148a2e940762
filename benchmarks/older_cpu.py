r"""What a bundle's graphs give on a CPU without AVX-512 and VNNI, which QEMU emulates.

    python -m benchmarks.older_cpu build/tiny --precision fp32,int8

Needs `qemu-x86_64` (Debian: qemu-user). Each graph, portable and derived, is run on its part's
reference inputs as `edgespark verify` does it, and each variant answers the first question of the
rgb samples: on this CPU ("here"), on the emulated one ("told"), and on the emulated one by a
runtime that takes it for this one ("untold"), which shows what it costs not to ask the CPU what it
has: its products of uint8 and int8 are added up in 16 bits, which saturate.

Errors are in standard deviations of the reference. Nothing is timed: an emulated run takes up to a
hundred times as long, a few minutes for the small model. QEMU leaves /proc/cpuinfo as it is, so the
runtime is given that of the emulated CPU. The last line is one JSON document; the exit code is 5
where a graph is beyond its limit on the emulated CPU or an answer is another than here.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.document import destination, publish, stamp
from edgespark.runtime import processor, verify
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import CheckError, EdgesparkError, MissingExtra, UsageError
from edgespark.runtime.spark import load
from edgespark.runtime.wording import aligned

EMULATOR = "qemu-x86_64"
CPU = "Haswell"  # the first with AVX2; it has neither AVX-512 nor any dot product of int8
CPUINFO = "flags : fma avx avx2\n"
CASES: Mapping[str, tuple[bool, bool]] = {  # emulated, and told which CPU it is
    "here": (False, True),
    "told": (True, True),
    "untold": (True, False),
}
LENGTH = 16  # tokens of an answer


def split(text: str) -> tuple[str, ...]:
    """Read "a,b" as a and b."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def errors(bundle: Bundle, given: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Return the error and the limit of each form of each graph that is asked for."""
    verify.RUNS = 1  # nothing is timed
    device, made = DEVICES["cpu"], {}
    for form in verify.forms(bundle, device):
        if form.graph.precision not in given.precision:
            continue
        if not given.parts or form.part.name in given.parts:
            row = verify.row(bundle, device, form, 1)
            made[row.title] = (row.error, row.limit)
    return made


def answers(given: argparse.Namespace) -> dict[str, str]:
    """Return what each variant of these precisions answers to the first sample of rgb."""
    with np.load(Path(given.bundle) / "samples" / "rgb.npz") as samples:
        image, question = samples["input"][0], str(samples["question"][0])
    made = {}
    for precision in given.precision:
        for portable in (True, False):
            spark = load(given.bundle, precision=precision, threads=1, portable=portable)
            said = spark.generate(question, rgb=image, max_tokens=LENGTH, temperature=0)
            if portable or spark.stats.lowered:
                made[f"{precision} {'portable' if portable else 'derived'}"] = said
    return made


def child(given: argparse.Namespace) -> int:
    """Measure on the CPU at hand, or the one that is pretended, and print one JSON document."""
    if given.cpuinfo:
        processor.CPUINFO = given.cpuinfo
    made = {
        "instructions": processor.instructions(),
        "errors": errors(Bundle.open(given.bundle), given),
        "answers": answers(given),
    }
    print(json.dumps(made))
    return 0


def measured(name: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what a process of that case prints; CheckError where it fails."""
    emulated, told = CASES[name]
    command = [EMULATOR, "-cpu", CPU] if emulated else []
    command += [sys.executable, "-m", "benchmarks.older_cpu", given.bundle, "--child"]
    command += ["--precision", ",".join(given.precision), "--parts", ",".join(given.parts)]
    if emulated and told:
        file = folder / "cpuinfo"
        file.write_text(CPUINFO)
        command += ["--cpuinfo", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 ours
    if done.returncode:
        silent = f"it ended with code {done.returncode} and said nothing"
        raise CheckError(f"{name}: {[silent, *done.stderr.strip().splitlines()][-1]}")
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a line for each graph: its errors in all cases, and its limit."""
    rows = [("graph", *CASES, "limit")]
    for title, (_, limit) in cases["here"]["errors"].items():
        found = [f"{cases[name]['errors'][title][0]:.4f}" for name in CASES]
        rows.append((title, *found, f"{limit:g}"))
    return "\n".join(aligned(rows))


def problems(cases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is wrong on the emulated CPU."""
    told, here = cases["told"], cases["here"]
    found = [
        f"{title}: {error:.4f} is beyond {limit:g}"
        for title, (error, limit) in told["errors"].items()
        if not error <= limit
    ]
    return found + [
        f"{name}: {told['answers'][name]!r} in place of {said!r}"
        for name, said in here["answers"].items()
        if told["answers"][name] != said
    ]


def run(given: argparse.Namespace) -> int:
    """Measure all cases and print them; 5 where the emulated CPU does not do."""
    if given.child:
        return child(given)
    if shutil.which(EMULATOR) is None:
        raise MissingExtra(f"{EMULATOR} is not installed; on Debian: apt-get install qemu-user")
    bundle = Bundle.open(given.bundle)
    if unknown := set(given.precision) - {each.name for each in bundle.manifest.variants}:
        raise UsageError(f"the bundle has no precision {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: measured(name, given, Path(folder)) for name in CASES}
    print(table(cases))
    wrong = problems(cases)
    print("\n".join(wrong))
    document = {
        "bundle": bundle.manifest.name,
        "sha256": bundle.manifest.sha256,
        "emulated": CPU,
        "onnxruntime": onnxruntime.__version__,
        **stamp(),
        "cases": cases,
        "problems": wrong,
    }
    failed = publish(document, given.json)
    return CheckError.exit_code if wrong else failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--precision", type=split, default=("fp32", "int8"))
    parser.add_argument("--parts", type=split, default=(), help="a,b (default: all)")
    parser.add_argument("--json", type=destination, help="where to keep that document as well")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cpuinfo", type=Path, help=argparse.SUPPRESS)
    try:
        return run(parser.parse_args(arguments))
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
