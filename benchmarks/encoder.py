r"""INT8 of an encoder on a CPU beside its peers: CLIP's ViT-L/14 with random weights, one picture.

    make peers
    python benchmarks/encoder.py --json docs/results/encoder-cpu.json

Timed and not timed: see `benchmarks/peers/timing.py`. Every figure is the median over rounds; in a
round each form runs in a process of its own, in its peer's environment, one after another, and a
round in which one found no quiet moment for `--patience` seconds is thrown away; with a patience of
0 every figure counts, and the document says whether others had the cores. A form that fails is
absent, and told with its reason. A ratio is taken within a round: to ONNX Runtime's fp32, and to
OpenVINO's INT8; above 1 the form is faster. Errors are relative L2 distances from ONNX Runtime's
fp32, of one picture that calibration has not seen; since the weights are random, they tell that the
forms compute alike, and nothing of accuracy.

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
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import children  # noqa: E402 found by the line above
from benchmarks.document import (  # noqa: E402
    at_least_one,
    destination,
    keep,
    machine,
    publish,
    seconds,
)
from benchmarks.peers.encoder_summary import (  # noqa: E402
    BASE,
    LOWERED,
    PORTABLE,
    Report,
    Round,
    summary,
    table,
)

OPENVINO = ROOT / "build/peers/openvino/bin/python"
PEERS: dict[str, tuple[Path, str]] = {  # the beginning of a form's name: environment and module
    "onnxruntime": (Path(sys.executable), "benchmarks.peers.ort_forms"),
    "openvino": (OPENVINO, "benchmarks.peers.openvino_forms"),
    "torch": (Path(sys.executable), "benchmarks.peers.torch_forms"),
}
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


def main() -> int:
    """Read the command line and run; 1 where a figure lacks its base, 130 where interrupted."""
    given = _given()
    try:
        return run(given)
    except children.ChildError as error:
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
                keep(document_of(rounds, given, share), given.json)
    except (KeyboardInterrupt, children.ChildError):  # by hand, or since the base failed
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
    document = document_of(rounds, given, share)
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
    parser.add_argument(
        *("--patience",),
        type=seconds,
        default=90.0,
        help="to wait for a quiet moment; 0 takes every figure, however disturbed",
    )
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
    told = ran(Path(sys.executable), "benchmarks.peers.graphs", given)
    if any(form.startswith("openvino-int8") for form in given.forms):
        for each in given.folder.glob("openvino-int8*"):
            each.unlink()
        try:
            ran(OPENVINO, "benchmarks.peers.openvino_forms", given, "int8")
        except children.ChildError as error:  # its forms will be absent
            print(f"openvino-int8 was not made: {error}", file=sys.stderr)
    return float(told["int8_share"])


def one_round(given: argparse.Namespace, number: int) -> Round:
    """Run each form once, each round beginning with another; nothing where one was disturbed.

    A form that fails is absent from the round; ChildError where it is what others stand beside.
    """
    start = number % len(given.forms)
    told: Round = {}
    for form in (*given.forms[start:], *given.forms[:start]):
        told[form] = timed(given, form)
        ms = told[form].get("ms")
        shown = f"{ms:.0f} ms" if ms else told[form].get("absent", "disturbed")
        print(f"round {number + 1}: {form}: {shown}", file=sys.stderr)
        if not ms and "absent" not in told[form]:
            return {}
    return told


def timed(given: argparse.Namespace, form: str) -> Report:
    """Run one form: its report, which may be that it is absent, and why."""
    python, module = PEERS[form.partition("-")[0]]
    (given.folder / f"{form}.npy").unlink(missing_ok=True)  # what another run made of it
    try:
        return ran(python, module, given, form)
    except children.ChildError as error:
        if form == BASE:
            raise
        return {"absent": str(error)}


def ran(python: Path, module: str, given: argparse.Namespace, *first: object) -> Report:
    """Run one of the peers' modules in its environment; ChildError where it fails."""
    command = [python, "-m", module, *first, given.folder, given.depth, given.threads]
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(given.folder / "inductor")}
    return children.ran([*command, given.patience], given.folder / "last.log", environment)


def document_of(rounds: Sequence[Round], given: argparse.Namespace, share: float | None) -> Report:
    """Sum up the rounds that are done, and tell what ran where."""
    return {
        "what": f"CLIP ViT-L/14 of {given.depth} layers, random weights, one picture of 224 px",
        **summary(rounds, given.forms, given.folder),
        "threads": given.threads,
        "patience_s": given.patience,
        "rounds": len(rounds),
        "int8_share": share,
        **machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
