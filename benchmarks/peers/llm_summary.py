"""What rounds of `benchmarks/llm.py` come to: medians, ratios within a round, and a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import distance, ends, middle
from benchmarks.peers.llm_timing import CONTEXTS, NEW, PREFILLS
from benchmarks.peers.timing import BUSY

Report = dict[str, Any]
Round = dict[str, Report]  # by form, and the bandwidth in GB/s by `BANDWIDTH`
BANDWIDTH = "bandwidth"
BASE = "torch-fp32"
OURS = {"4": "edgespark-int4-signed", "8": "edgespark-int8"}
"""What stands for us in the named ratios, of 4 and of 8 bits.

Of 4 bits what a bundle for CPUs is made with: `--signed-scales`, as Q4_0 has them too. What an
export makes unasked stands beside it, in the ratios of the other forms.
"""
GENAI = ("genai-int4", "genai-int4-128")
Q4_0 = ("llama-q4_0", "llama-q4_0-kv8")
Q8_0 = ("llama-q8_0",)
PEERS = {
    "4": (*Q4_0, *GENAI, "openvino-int4"),
    "8": (*Q8_0, "genai-int8", "openvino-int8"),
}
"""Whose errors and memory stand beside ours, by bits."""
RATIOS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "decode_q4_0": ("4", "decode_16", Q4_0),
    "prefill_q4_0": ("4", "prefill_16", Q4_0),
    "prefill_q4_0_128": ("4", "prefill_128", Q4_0),
    "prefill_q4_0_512": ("4", "prefill_512", Q4_0),
    "decode_q4_0_ctx1024": ("4", "decode_1024", Q4_0),
    "decode_q4_0_ctx1900": ("4", "decode_1900", Q4_0),
    "decode_q8_0": ("8", "decode_16", Q8_0),
    "prefill_q8_0": ("8", "prefill_16", Q8_0),
    "prefill_q8_0_512": ("8", "prefill_512", Q8_0),
    "decode_genai": ("4", "decode_16", GENAI),
    "decode_genai_default": ("4", "decode_16", GENAI[:1]),
    "decode_genai_ctx1024": ("4", "decode_1024", GENAI),
    "prefill_genai": ("4", "prefill_16", GENAI),
    "prefill_genai_512": ("4", "prefill_512", GENAI),
    "decode_genai_int8": ("8", "decode_16", ("genai-int8",)),
    "decode_openvino": ("4", "decode_16", ("openvino-int4",)),
    "decode_openvino_ctx1024": ("4", "decode_1024", ("openvino-int4",)),
    "prefill_openvino": ("4", "prefill_16", ("openvino-int4",)),
    "prefill_openvino_512": ("4", "prefill_512", ("openvino-int4",)),
    "decode_openvino_int8": ("8", "decode_16", ("openvino-int8",)),
}
"""Bits of ours, the figure, and the peer's forms, the fastest of which counts in each round."""
MORE = (
    ("error_against", "its error over that of"),
    ("memory_against", "over its peak memory that of"),
)
SHORT, LONG = 100, 1900  # contexts whose tokens are compared


def summary(
    rounds: Sequence[Round], forms: Sequence[str], folder: Path, ours: Mapping[str, str]
) -> Report:
    """Sum up: medians over rounds, and the least and greatest figure of a round.

    `ours` are our forms of the named ratios, as in OURS.
    """
    told = {form: _of([each[form] for each in rounds if form in each]) for form in forms}
    ran = [form for form in forms if told[form]]
    named = _named(rounds, ours)
    others = {
        form: _named(rounds, {"4": form})
        for form in ran
        if form.startswith("edgespark-int4") and form != ours["4"]
    }
    read = {form: [f for each in rounds if (f := _read(each, form))] for form in ran}
    speeds = [each[BANDWIDTH]["gb_s"] for each in rounds]
    fractions = {form: middle([f / max(speeds) for f in found], 3) for form, found in read.items()}
    growths = {form: [g for each in rounds if (g := _growth(each, form))] for form in ran}
    return {
        "ratios": {name: middle(each, 3) for name, each in named.items() if each},
        "ratios_range": {name: ends(each, 3) for name, each in named.items() if each},
        "ratios_of_other_forms": {
            form: {name: middle(each, 3) for name, each in found.items() if each}
            for form, found in others.items()
        },
        "ours": ours,
        "bandwidth_fraction": fractions.get(ours["4"]),
        "bandwidth_fractions": {form: each for form, each in fractions.items() if each},
        "bandwidth_gb_s": {"greatest": round(max(speeds), 1), "range": ends(speeds, 1)},
        "token_growth": {f: middle(each, 3) for f, each in growths.items() if each},
        **_quality(folder, ran, ours),
        "memory_against": {bits: _lighter(told, ours[bits], PEERS[bits]) for bits in ours},
        "forms": {form: told[form] for form in ran},
        **_missed(rounds, forms),
    }


def _quality(folder: Path, ran: Sequence[str], ours: Mapping[str, str]) -> Report:
    """Compare errors of what ran: those of our forms beside their peers', above 1 where larger."""
    errors = {form: error(folder, form) for form in ran}
    beside = {
        bits: {
            peer: round(own / other, 3)
            for peer in PEERS[bits]
            if (own := errors.get(form)) and (other := errors.get(peer))
        }
        for bits, form in ours.items()
    }
    return {
        "relative_error": errors,
        "error_against": beside,
        "error_against_q4_0": beside["4"].get(Q4_0[0]),
    }


def _lighter(told: Mapping[str, Report], own: str, peers: Iterable[str]) -> dict[str, float]:
    """Give the peers' peak memory over ours: above 1 where we take less."""
    return {
        peer: round(told[peer]["peak_mb"] / told[own]["peak_mb"], 3)
        for peer in peers
        if told.get(peer) and told.get(own)
    }


def _missed(rounds: Sequence[Round], forms: Sequence[str]) -> Report:
    """Tell what did not run, and whether figures were taken while others had the cores."""
    return {
        "absent": {
            form: each[form]["absent"]
            for each in rounds
            for form in forms
            if "absent" in each.get(form, {})
        },
        "disturbed": any(
            share > BUSY for each in rounds for form in forms for share in _shares(each, form)
        ),
    }


def _named(rounds: Sequence[Round], ours: Mapping[str, str]) -> dict[str, list[float]]:
    """Give each named ratio of our forms, for each round that has it."""
    return {
        name: [speed for each in rounds if (speed := _against(each, ours, *how)) is not None]
        for name, how in RATIOS.items()
        if how[0] in ours
    }


def _of(reports: list[Report]) -> Report:
    """Sum up one form; nothing where it is absent."""
    reports = [each for each in reports if "figures" in each]
    if not reports:
        return {}
    figures = {
        name: [each["figures"][name] for each in reports if each["figures"][name]]
        for name in reports[0]["figures"]
    }
    found: dict[str, Report] = {
        name: {"median": middle(each, 3), "range": ends(each, 3), "rounds": len(each)}
        for name, each in figures.items()
        if each
    }
    plain = ("load_s", "choice_us", "loaded_mb", "loaded_anonymous_mb", "peak_mb", "anonymous_mb")
    token_ms = {
        str(context): round(1e3 / found[f"decode_{context}"]["median"], 3)
        for context in CONTEXTS
        if f"decode_{context}" in found
    }
    return {
        **found,
        **{name: middle([each[name] for each in reports], 3) for name in plain},
        "token_ms": token_ms,
        "thrown_batches": sum(each["thrown"] for each in reports),
        **{name: reports[0][name] for name in ("bundle", "step_bytes", "cache_bytes")},
    }


def _speed(told: Round, form: str, figure: str) -> float | None:
    """Return a figure of a round, larger where it is better."""
    value: float | None = told.get(form, {}).get("figures", {}).get(figure)
    return 1 / value if value and figure.startswith("prefill") else value


def _against(
    told: Round, ours: Mapping[str, str], bits: str, figure: str, peers: tuple[str, ...]
) -> float | None:
    own = _speed(told, ours[bits], figure)
    fastest = max(_speed(told, each, figure) or 0.0 for each in peers)
    return own / fastest if own and fastest else None


def _read(told: Round, form: str) -> float | None:
    """Return how many GB/s a short decode reads."""
    each, short = told.get(form, {}), CONTEXTS[0]
    speed = _speed(told, form, f"decode_{short}")
    if not speed or not each["step_bytes"]:
        return None
    read = each["step_bytes"] + each["cache_bytes"] * (short + NEW / 2)
    return float(read * speed / 1e9)


def _growth(told: Round, form: str) -> float | None:
    """Return how much longer a token takes behind a long context than behind a short one."""
    short, long = (_speed(told, form, f"decode_{each}") for each in (SHORT, LONG))
    return short / long if short and long else None


def _shares(told: Round, form: str) -> Iterator[float]:
    """Give what others had of the cores while figures that count were taken."""
    each = told.get(form, {})
    for name, share in each.get("others", {}).items():
        if each["figures"][name]:
            yield share


def error(folder: Path, form: str) -> float | None:
    """Return the relative L2 distance of the kept logits from transformers' fp32."""
    return distance(folder, form, BASE)


COLUMNS: tuple[tuple[str, str, Callable[[Report, Report], Any]], ...] = (
    *(
        (f"pre {count}", "{:8.1f}", lambda form, _, name=f"prefill_{count}": _value(form, name))
        for count in PREFILLS
    ),
    *(
        (f"tok/s {each}", "{:10.1f}", lambda form, _, name=f"decode_{each}": _value(form, name))
        for each in CONTEXTS
    ),
    ("error", "{:8.4f}", lambda form, all_: all_["relative_error"][form["name"]]),
    ("peak MB", "{:8.0f}", lambda form, _: form["peak_mb"]),
    ("of GB/s", "{:8.2f}", lambda form, all_: all_["bandwidth_fractions"].get(form["name"])),
)


def _value(form: Report, name: str) -> float | None:
    return form.get(name, {}).get("median")  # type: ignore[no-any-return] # a report


def table(document: Report) -> list[str]:
    """Write the figures: prompts in ms, decodes in tokens per second."""
    widths = [len(style.format(0)) for _, style, _ in COLUMNS]
    heads = [name.rjust(width) for (name, _, _), width in zip(COLUMNS, widths, strict=True)]
    lines = [f"{'form':24}" + " ".join(heads)]
    for name, form in document["forms"].items():
        cells = [
            "-".rjust(width) if value is None else style.format(value)
            for (_, style, take), width in zip(COLUMNS, widths, strict=True)
            for value in (take({**form, "name": name}, document),)
        ]
        lines.append(f"{name:24}" + " ".join(cells))
    lines += [f"{form:24}not run: {why}" for form, why in document["absent"].items()]
    for name, value in document["ratios"].items():
        low, high = document["ratios_range"][name]
        lines.append(f"{name:24}{value:6.2f} ({low:.2f}-{high:.2f})")
    for form, found in document["ratios_of_other_forms"].items():
        lines += [f"{form}: {name} {value:.2f}" for name, value in found.items()]
    for bits, form in document["ours"].items():
        for what, word in MORE:
            found = document[what][bits]
            told = ", ".join(f"{peer} {value:.2f}" for peer, value in found.items())
            lines.append(f"{form}: {word}: {told}")
    lines.append(f"memory is read at {document['bandwidth_gb_s']['greatest']} GB/s")
    if document["disturbed"]:
        lines.append("DISTURBED: other processes had the cores meanwhile; the figures mean nothing")
    return lines
