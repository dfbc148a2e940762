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
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
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


def main() -> int:
    """Make the graphs, run the rounds, print a table and write the document."""
    given = _given()
    if any(form.startswith("openvino") for form in given.forms) and not OPENVINO.exists():
        print(f"{OPENVINO} is not there: make peers", file=sys.stderr)
        return 2
    share = prepare(given)
    found: dict[str, list[Report]] = {form: [] for form in given.forms}
    for number in range(given.tries):
        if len(found[BASE]) == given.rounds:
            break
        for form, told in one_round(given, number).items():
            found[form].append(told)
    if len(found[BASE]) < given.rounds:
        print(f"{len(found[BASE])} of {given.rounds} rounds were undisturbed", file=sys.stderr)
        return 1
    document = summary(found, given) | {"int8_share": share}
    print("\n".join(table(document)))
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))
    return 0


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="where the document is written")
    parser.add_argument("--rounds", type=int, default=7, help="undisturbed rounds that count")
    parser.add_argument("--tries", type=int, default=30, help="rounds that are begun at most")
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


def one_round(given: argparse.Namespace, number: int) -> dict[str, Report]:
    """Run each form once, each round beginning with another; nothing where one was disturbed."""
    start = number % len(given.forms)
    told: dict[str, Report] = {}
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


def summary(found: dict[str, list[Report]], given: argparse.Namespace) -> Report:
    """Sum up the rounds: medians, and the least and greatest figure of a round."""
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
        "lowered_against_portable": _error(given.folder, LOWERED, PORTABLE),
        "absent": absent,
        "thrown_batches": sum(each["thrown"] for form in ms for each in found[form]),
        "versions": _versions(each for told in found.values() for each in told),
        "cpu": _cpu(),
        "threads": given.threads,
        "rounds": given.rounds,
        "date": time.strftime("%Y-%m-%d"),
    }


def _ends(figures: list[float], digits: int) -> list[float]:
    return [round(min(figures), digits), round(max(figures), digits)]


def _error(folder: Path, form: str, base: str) -> float | None:
    import numpy as np  # noqa: PLC0415 the options tell what is wrong with them without it

    if not all((folder / f"{each}.npy").exists() for each in (form, base)):
        return None
    got, wanted = (np.load(folder / f"{each}.npy") for each in (form, base))
    return round(float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)), 5)


def _versions(told: Iterable[Report]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for each in told:
        found |= each["versions"]
    return found


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {name.strip(): value.strip() for name, value in fields.items()}
    flags = {"avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"} & {*names["flags"].split()}
    return f"{names['model name']}, {os.cpu_count()} cores, {' '.join(sorted(flags))}"


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
