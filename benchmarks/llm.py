r"""Our LLM on a CPU beside its peers: the same Llama with random weights, the same ids fed.

    make peers
    python benchmarks/llm.py --size 162M --json docs/results/llm-cpu.json
    python benchmarks/llm.py --long --forms edgespark-int4-b256

Timed and not timed: see `benchmarks/peers/llm_timing.py`. Every figure is the median over rounds;
in a round each form runs in a process of its own, in its peer's environment, one after another, and
a figure for which no quiet moment was found is left out of that round. A ratio is taken within a
round: above 1 we are faster. Errors are relative L2 distances of logits from transformers' fp32;
the weights are random, so that they compare formats, and tell nothing of answers.

Before anything is timed each peer's widest form must give transformers' logits: a wrong conversion
would be fast for nothing. `bandwidth_fraction` is the weights, keys and values that a token reads,
times tokens per second, over the most that `benchmarks/peers/bandwidth.py` reads in any round.

llama.cpp: its own quantiser's default recipes, flash attention on, keys and values in f16 (or Q8_0
in `kv8`). genai: its builder's 4 bits, and a faster setting of it. OpenVINO: NNCF's defaults. What
a form makes of the weights lies in build/llm/SIZE and is kept; `--anew` makes ours again.

The document is written anew after each round, and `rounds` counts those done: what stops a run
loses the round that it was in, and no other.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import children  # noqa: E402 found by the line above
from benchmarks.children import ChildError  # noqa: E402
from benchmarks.document import (  # noqa: E402
    at_least_one,
    destination,
    keep,
    machine,
    publish,
    seconds,
    versions_of,
)
from benchmarks.peers.llm_summary import (  # noqa: E402
    BANDWIDTH,
    BASE,
    OURS,
    Report,
    Round,
    error,
    summary,
    table,
)

OWN = Path(sys.executable)
PEERS: dict[str, tuple[Path, str]] = {  # the beginning of a form's name: environment and module
    "edgespark": (OWN, "benchmarks.peers.llm_edgespark"),
    "llama": (ROOT / "build/peers/llama/bin/python", "benchmarks.peers.llm_llama"),
    "genai": (ROOT / "build/peers/genai/bin/python", "benchmarks.peers.llm_genai"),
    "openvino": (ROOT / "build/peers/openvino/bin/python", "benchmarks.peers.llm_openvino"),
    "torch": (OWN, "benchmarks.peers.llm_torch"),
}
FORMS = (
    "edgespark-int4",
    "edgespark-int4-signed",
    "edgespark-int4-b256",
    "edgespark-int4-b256-kv8",
    "llama-q4_0",
    "llama-q4_0-kv8",
    "genai-int4",
    "genai-int4-128",
    "openvino-int4",
    "edgespark-int8",
    "edgespark-int8-kv8",
    "llama-q8_0",
    "genai-int8",
    "openvino-int8",
)
LARGE = (
    "edgespark-int4-signed",
    "edgespark-int4-b256",
    "llama-q4_0",
    "genai-int4",
    "openvino-int4",
    "edgespark-int8",
    "llama-q8_0",
)
"""What is run at 1B."""
MORE = (
    "edgespark-int4-kv8",
    "edgespark-int4-signed-kv8",
    "edgespark-int4-b32",
    "edgespark-int4-b64",
    "edgespark-int4-b64-kv8",
    "edgespark-int4-portable",
    "edgespark-int8-portable",
    "openvino-bf16",
)
PROOFS = {
    "edgespark": "edgespark-fp32",
    "llama": "llama-f16",
    "genai": "genai-fp32",
    "openvino": "openvino-fp32",
    "torch": BASE,
}
"""The widest form of each peer: how its conversion is proved."""
SPARED = {"1B": ("edgespark", "genai")}  # their widest forms are gigabytes, made as those of 162M
TRUSTED = 1e-2  # the greatest relative error of those
NAMES = (*FORMS, *MORE, *PROOFS.values(), "torch-bf16")
LONG = ("edgespark-int4-b256", "edgespark-int4-b256-kv8")


def main() -> int:
    """Read the command line and run; 130 where a run was interrupted."""
    given = _given()
    try:
        return run(given)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ChildError as error:
        print(f"error: {error}; see {given.folder / 'last.log'}", file=sys.stderr)
        return 1


def run(given: argparse.Namespace) -> int:
    """Make what the forms read, run the rounds, print a table and write the document."""
    used = list(dict.fromkeys(form.partition("-")[0] for form in given.forms))
    if missing := [str(PEERS[each][0]) for each in used if not PEERS[each][0].exists()]:
        print(f"not there: {', '.join(missing)}: make peers", file=sys.stderr)
        return 2
    prepare(given)
    if given.long:
        found = {form: ran(form, "long", given, given.threads) for form in given.forms}
        lines = [f"{form}: {each['grown_mb']:+} MB" for form, each in found.items()]
        return told(given, {"long": found} | machine(), lines)
    proofs = prove(given)
    if wrong := {form: off for form, off in proofs.items() if off is None or not off < TRUSTED}:
        print(f"not the same model as {BASE}: {wrong}", file=sys.stderr)
        return 5
    rounds: list[Round] = []
    try:
        for number in range(given.rounds):
            rounds.append(one_round(given, number))
            keep(document_of(given, rounds, proofs), given.json)
    except (KeyboardInterrupt, ChildError):
        if rounds:
            so_far = document_of(given, rounds, proofs)
            told(given, so_far, table(so_far))
        raise
    document = document_of(given, rounds, proofs)
    return told(given, document, table(document))


def document_of(
    given: argparse.Namespace, rounds: Sequence[Round], proofs: dict[str, float | None]
) -> Report:
    """Sum up the rounds that are done, and tell what ran where."""
    reports: dict[str, list[Report]] = {}
    for form, each in ((form, each) for found in rounds for form, each in found.items()):
        reports.setdefault(form.partition("-")[0], []).append(each)
    return {
        **summary(rounds, given.forms, given.folder, given.ours),
        "what": f"Llama of {given.size} parameters, random weights, one sequence",
        "size": given.size,
        "proofs": proofs,
        "versions": versions_of(reports),
        "threads": given.threads,
        "rounds": len(rounds),
        **machine(),
    }


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=("162M", "1B"), default="162M")
    parser.add_argument("--forms", nargs="+", choices=NAMES, metavar="FORM")
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--threads", type=at_least_one, default=2, help="of each form")
    parser.add_argument("--json", type=destination, help="where the document is written")
    parser.add_argument("--long", action="store_true", help="memory over 2,000 tokens, no times")
    parser.add_argument("--anew", action="store_true", help="export our bundles again")
    parser.add_argument("--no-proofs", action="store_true", help="take conversions on trust")
    parser.add_argument(
        *("--patience",),
        type=seconds,
        default=90.0,
        help="seconds to wait for a quiet moment; 0 takes every figure, however disturbed",
    )
    parser.add_argument(
        *("--ours",),
        nargs=2,
        choices=NAMES,
        metavar="FORM",
        default=tuple(OURS.values()),
        help="of 4 and of 8 bits, in the named ratios (default: %(default)s)",
    )
    given = parser.parse_args()
    given.ours = dict(zip(OURS, given.ours, strict=True))
    usual = FORMS if given.size == "162M" else LARGE
    given.forms = given.forms or (LONG if given.long else usual)
    given.folder = ROOT / "build/llm" / given.size
    return given


def prepare(given: argparse.Namespace) -> None:
    """Write the weights, and what each form reads."""
    if given.anew:
        for each in given.folder.glob("edgespark*/"):
            shutil.rmtree(each)
    weights = given.folder / "hf"
    if not (weights / "model.safetensors").exists():
        command = [OWN, "-m", "benchmarks.peers.llm_weights", given.size, weights]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 our own code
    proofs = () if given.long else _proofs(given)
    for form in (*given.forms, *proofs):
        ran(form, "make", given)


def prove(given: argparse.Namespace) -> dict[str, float | None]:
    """Compare the widest form of each peer with transformers' fp32."""
    proofs = _proofs(given)
    for form in dict.fromkeys((BASE, *proofs)):
        ran(form, "check", given, given.threads)
    return {form: error(given.folder, form) for form in proofs}


def _proofs(given: argparse.Namespace) -> list[str]:
    """Name the forms that are to give transformers' logits."""
    used = dict.fromkeys(form.partition("-")[0] for form in given.forms)
    spared = [*PROOFS] if given.no_proofs else [*SPARED.get(given.size, [])]
    return [PROOFS[each] for each in used if each not in spared]


def one_round(given: argparse.Namespace, number: int) -> Round:
    """Run each form once, each round beginning with another."""
    start = number % len(given.forms)
    command = (OWN, "-m", "benchmarks.peers.bandwidth", given.threads)
    found = {BANDWIDTH: children.ran(command, given.folder / "last.log")}
    for form in (*given.forms[start:], *given.forms[:start]):
        found[form] = timed(form, given)
        shown = found[form].get("figures", {}).get("decode_16")
        print(f"round {number + 1}: {form}: {shown} tokens per second", file=sys.stderr)
    return found


def timed(form: str, given: argparse.Namespace) -> Report:
    """Time a form; one that fails, for want of memory perhaps, is absent with its last words."""
    try:
        return ran(form, "time", given, given.threads, given.patience)
    except ChildError as error:
        return {"absent": str(error)}


def ran(form: str, mode: str, given: argparse.Namespace, *more: float) -> Report:
    """Run one form's module in its environment; ChildError where that fails."""
    python, module = PEERS[form.partition("-")[0]]
    words = (python, "-m", module, mode, form, given.folder, *more)
    return children.ran(words, given.folder / "last.log")


def told(given: argparse.Namespace, document: Report, lines: Iterable[str]) -> int:
    """Print and write what came out: an exit code."""
    print("\n".join(lines))
    return publish(document, given.json)


if __name__ == "__main__":
    sys.exit(main())
