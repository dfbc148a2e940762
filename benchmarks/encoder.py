r"""INT8 of an encoder on a CPU beside its peers: CLIP's ViT-L/14 with random weights, one picture.

    make peers
    python benchmarks/encoder.py --json docs/results/encoder-cpu.json

Timed and not timed: see `benchmarks/peers/timing.py`. Every figure is the median over rounds; in a
round each form runs in a process of its own, in its peer's environment, one after another, and a
round in which one found no quiet moment is thrown away. A ratio is taken within a round. Errors are
relative L2 distances from ONNX Runtime's fp32, of one picture that calibration has not seen; since
the weights are random, they tell that the forms compute alike, and nothing of accuracy.

Forms: ONNX Runtime opens the fp32 graph with its defaults; both INT8 graphs, and fp32 lowered for
CPUs (fused attention), run as our runtime opens them. OpenVINO reads the same fp32 graph, and NNCF
calibrates on the same pictures; what is not INT8 there is what OpenVINO chooses (bf16 where the CPU
has it), or fp32. PyTorch's compiled forms have freezing on: their weights are laid out anew.
Dynamic INT8 is `torch.ao`'s.

The document is written anew after each round that counts, and `rounds` counts those done: what
stops a run loses the round that it was in, and no other. Where fewer rounds than asked for were
undisturbed, it ends with 1, and tells those.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import (  # noqa: E402 found by the line above
    at_least_one,
    destination,
    keep,
    machine,
    publish,
    versions,
)

OPENVINO = ROOT / "build/peers/openvino/bin/python"
PEERS: dict[str, tuple[Path, str]] = {  # the beginning of a form's name: environment and module
    "onnxruntime": (Path(sys.executable), "benchmarks.peers.ort_forms"),
    "openvino": (OPENVINO, "benchmarks.peers.openvino_forms"),
    "torch": (Path(sys.executable), "benchmarks.peers.torch_forms"),
}
BASE = "onnxruntime-fp32"
PORTABLE, LOWERED = "onnxruntime-int8-portable", "onnxruntime-int8-cpu"
FORMS = (
    BASE,
    "onnxruntime-fp32-cpu",
    PORTABLE,
    LOWERED,
    "openvino-fp32",
    "openvino-bf16",
    "openvino-int8",
    "openvino-int8-fp32",
    "torch-eager-fp32",
    "torch-eager-bf16",
    "torch-compiled-fp32",
    "torch-compiled-bf16",
    "torch-dynamic-int8",
)
GOALS = {PORTABLE: 2.6, LOWERED: 3.2}  # times as fast as the base: what ours are to reach
Report = dict[str, Any]
Round = dict[str, Report]  # by form


def main() -> int:
    """Read the command line and run; 1 where a form failed, 130 where a run was interrupted."""
    given = _given()
    try:
        return run(given)
    except subprocess.CalledProcessError as error:  # what it said stands above
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def run(given: argparse.Namespace) -> int:
    """Make the graphs, run the rounds, print a table and write the document."""
    if any(form.startswith("openvino") for form in given.forms) and not OPENVINO.exists():
        print(f"{OPENVINO} is not there: make peers", file=sys.stderr)
        return 2
    share = prepare(given)
    rounds: list[Round] = []
    try:
        for number in range(given.tries):
            if len(rounds) == given.rounds:
                break
            if told := one_round(given, number):
                rounds.append(told)
                keep(summary(rounds, given, share), given.json)
    except (KeyboardInterrupt, subprocess.CalledProcessError):  # by hand, or since a form failed
        if rounds:
            show(rounds, given, share)
        raise
    failed = show(rounds, given, share) if rounds else 0
    if len(rounds) < given.rounds:
        print(f"{len(rounds)} of {given.rounds} rounds were undisturbed", file=sys.stderr)
        return 1
    return failed


def show(rounds: Sequence[Round], given: argparse.Namespace, share: float | None) -> int:
    """Print and write what the rounds came to: an exit code."""
    document = summary(rounds, given, share)
    print("\n".join(table(document)))
    return publish(document, given.json)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=destination, help="where the document is written")
    parser.add_argument("--rounds", type=at_least_one, default=7, help="undisturbed ones")
    parser.add_argument("--tries", type=at_least_one, default=30, help="rounds begun at most")
    parser.add_argument("--threads", type=int, default=2, help="of each form")
    parser.add_argument("--depth", type=int, default=24, help="layers; fewer to try things out")
    parser.add_argument("--forms", nargs="+", default=FORMS, choices=FORMS, metavar="FORM")
    parser.add_argument("--keep", action="store_true", help="take the graphs that lie there")
    given = parser.parse_args()
    if BASE not in given.forms:
        given.forms = [BASE, *given.forms]
    given.folder = ROOT / f"build/encoder/{given.depth}"
    return given


def prepare(given: argparse.Namespace) -> float | None:
    """Make the graphs; return the share of the work that is INT8 in ours."""
    if given.keep and (given.folder / "fp32-cpu.onnx").exists():
        return None
    told = ran(Path(sys.executable), "benchmarks.peers.graphs", given, ())
    if any(form.startswith("openvino-int8") for form in given.forms):
        command = [OPENVINO, "-m", "benchmarks.peers.openvino_forms", "int8", given.folder]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
    return float(told["int8_share"])


def one_round(given: argparse.Namespace, number: int) -> Round:
    """Run each form once, each round beginning with another; nothing where one was disturbed."""
    start = number % len(given.forms)
    told: Round = {}
    for form in (*given.forms[start:], *given.forms[:start]):
        python, module = PEERS[form.partition("-")[0]]
        told[form] = ran(python, module, given, (form,))
        ms = told[form].get("ms")
        shown = f"{ms:.0f} ms" if ms else told[form].get("absent", "disturbed")
        print(f"round {number + 1}: {form}: {shown}", file=sys.stderr)
        if not ms and "absent" not in told[form]:
            return {}
    return told


def ran(python: Path, module: str, given: argparse.Namespace, first: Sequence[str]) -> Report:
    """Run one of the peers' modules, and read the last line that it prints."""
    arguments = [*first, given.folder, given.depth, given.threads]
    command = [str(each) for each in (python, "-m", module, *arguments)]
    inductor = str(given.folder / "inductor")
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": inductor}
    done = subprocess.run(  # noqa: S603 our own code
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def summary(rounds: Sequence[Round], given: argparse.Namespace, share: float | None) -> Report:
    """Sum up the rounds: medians, and the least and greatest figure of a round."""
    found = {form: [each[form] for each in rounds] for form in given.forms}
    absent = {form: told[0]["absent"] for form, told in found.items() if "absent" in told[0]}
    ms = {form: [each["ms"] for each in told] for form, told in found.items() if form not in absent}
    ratios = {
        form: [base / own for base, own in zip(ms[BASE], taken, strict=True)]
        for form, taken in ms.items()
    }
    return {
        "what": f"CLIP ViT-L/14 of {given.depth} layers, random weights, one picture of 224 px",
        "ratios": {form: round(statistics.median(each), 2) for form, each in ratios.items()},
        "ratios_range": {form: _ends(each, 2) for form, each in ratios.items()},
        "ms": {form: round(statistics.median(each), 1) for form, each in ms.items()},
        "ms_range": {form: _ends(each, 1) for form, each in ms.items()},
        "relative_error": {form: _error(given.folder, form, BASE) for form in ms},
        "lowered_against_portable": (
            _error(given.folder, LOWERED, PORTABLE) if {LOWERED, PORTABLE} <= {*ms} else None
        ),
        "absent": absent,
        "thrown_batches": sum(each["thrown"] for form in ms for each in found[form]),
        "versions": versions(each for told in found.values() for each in told),
        "threads": given.threads,
        "rounds": len(rounds),
        "int8_share": share,
        **machine(),
    }


def _ends(figures: list[float], digits: int) -> list[float]:
    return [round(min(figures), digits), round(max(figures), digits)]


def _error(folder: Path, form: str, base: str) -> float | None:
    import numpy as np  # noqa: PLC0415 the options tell what is wrong with them without it

    if not all((folder / f"{each}.npy").exists() for each in (form, base)):
        return None
    got, wanted = (np.load(folder / f"{each}.npy") for each in (form, base))
    return round(float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)), 5)


def table(document: Report) -> list[str]:
    """Write the figures, fastest first, and how they stand to what is asked of them."""
    ratios = document["ratios"]
    lines = [f"{'form':28} {'ratio':>6} {'range':>13} {'ms':>8} {'error':>8}"]
    for form in sorted(ratios, key=lambda each: -ratios[each]):
        low, high = document["ratios_range"][form]
        error = document["relative_error"][form]
        lines.append(
            f"{form:28} {ratios[form]:6.2f} {low:6.2f}-{high:<6.2f} "
            f"{document['ms'][form]:8.1f} {error:8.4f}"
        )
    lines += [f"{form:28} not run: {why}" for form, why in document["absent"].items()]
    for ours in (each for each in (PORTABLE, LOWERED) if each in ratios):
        others = {form: ratios[ours] / each for form, each in ratios.items() if form != ours}
        for peer in ("openvino", "torch"):
            beside = {form: each for form, each in others.items() if form.startswith(peer)}
            if beside:
                best = min(beside, key=lambda each: beside[each])
                lines.append(f"{ours} is {beside[best]:.2f} times as fast as {best}")
    lines += [
        f"{ours}: {ratios[ours]:.2f} of {goal} asked for"
        for ours, goal in GOALS.items()
        if ours in ratios
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
