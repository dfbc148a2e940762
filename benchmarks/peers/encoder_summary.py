"""What rounds of `benchmarks/encoder.py` come to: medians, ratios within a round, and a table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import versions_of
from benchmarks.figures import distance, ends, middle, within
from benchmarks.peers.timing import BUSY

BASE, PEER = "onnxruntime-fp32", "openvino-int8"
PORTABLE, LOWERED = "onnxruntime-int8-portable", "onnxruntime-int8-cpu"
OTHERS = ("openvino", "torch")
GOALS = {PORTABLE: 2.6, LOWERED: 3.2}  # times as fast as the base: what ours are to reach
Report = dict[str, Any]
Round = dict[str, Report]  # by form


def summary(rounds: Sequence[Round], forms: Sequence[str], folder: Path) -> Report:
    """Sum up the rounds: medians, and the least and greatest figure of a round.

    A form is absent where no round has a time of it.
    """
    times = [{form: told["ms"] for form, told in each.items() if told.get("ms")} for each in rounds]
    ran = [form for form in forms if any(form in each for each in times)]
    ms = {form: [each[form] for each in times if form in each] for form in ran}
    ratios = {form: each for form in ran if (each := within(times, BASE, form, 2))}
    beside = {form: each for form in ran if (each := within(times, PEER, form, 3))}
    reports = {form: [each[form] for each in rounds] for form in forms}
    return {
        "ratios": {form: each["median"] for form, each in ratios.items()},
        "ratios_range": {form: each["range"] for form, each in ratios.items()},
        "ratios_to_openvino_int8": beside,
        "ratios_to_fastest": {ours: _fastest(times, ms, ours) for ours in GOALS if ours in ms},
        "ms": {form: middle(each, 1) for form, each in ms.items()},
        "ms_range": {form: ends(each, 1) for form, each in ms.items()},
        "rounds_of": {form: len(each) for form, each in ms.items()},
        "relative_error": {form: distance(folder, form, BASE) for form in ran},
        "lowered_against_portable": (
            distance(folder, LOWERED, PORTABLE) if {LOWERED, PORTABLE} <= {*ran} else None
        ),
        "absent": {form: reports[form][0]["absent"] for form in forms if form not in ran},
        "thrown_batches": sum(each.get("thrown", 0) for told in rounds for each in told.values()),
        "disturbed": any(
            told[form].get("others", 0) > BUSY for told in rounds for form in ran if form in told
        ),
        "versions": versions_of(reports),
    }


def _fastest(
    times: Sequence[Mapping[str, float]], ms: Mapping[str, list[float]], ours: str
) -> Report:
    """Tell how many times as fast ours is as the fastest form of each other peer."""
    found = {}
    for peer in OTHERS:
        forms = [form for form in ms if form.startswith(peer)]
        best = min(forms, key=lambda form: middle(ms[form], 3) or 0.0, default=None)
        if best is not None and (told := within(times, best, ours, 3)):
            found[peer] = {"form": best, **told}
    return found


def table(document: Report) -> Iterator[str]:
    """Write the figures, fastest first, and how they stand to what is asked of them."""
    ratios = document["ratios"]
    yield f"{'form':28} {'ratio':>6} {'range':>13} {'of ' + PEER:>16} {'ms':>8} {'error':>8}"
    for form in sorted(ratios, key=lambda each: -ratios[each]):
        low, high = document["ratios_range"][form]
        error, ms = (document[each][form] for each in ("relative_error", "ms"))
        yield (
            f"{form:28} {ratios[form]:6.2f} {low:6.2f}-{high:<6.2f} "
            f"{_beside(document, form):>16} {ms:8.1f} {_figure(error, 4):>8}"
        )
    for form, why in document["absent"].items():
        yield f"{form:28} not run: {why}"
    for ours, peers in document["ratios_to_fastest"].items():
        for told in peers.values():
            yield f"{ours} is {told['median']:.2f} times as fast as {told['form']}"
    for ours, goal in GOALS.items():
        if ours in ratios:
            yield f"{ours}: {ratios[ours]:.2f} of {goal} asked for"
    if document["disturbed"]:
        yield "DISTURBED: other processes had the cores meanwhile; the figures mean nothing"


def _beside(document: Report, form: str) -> str:
    told = document["ratios_to_openvino_int8"].get(form)
    return f"{told['median']:.2f} {told['range'][0]:.2f}-{told['range'][1]:.2f}" if told else "-"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
