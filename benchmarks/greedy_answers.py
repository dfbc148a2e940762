r"""Greedy answers of the graphs derived for a CPU beside the portable ones', and of drafts.

    python benchmarks/greedy_answers.py BUNDLE --samples 8 --json docs/results/greedy-answers.json

To the questions of the held-out samples, `--samples` of each modality, for every variant whose
decoder has a derived graph. Answers are compared letter by letter. Where two differ, the first
token that does is told, with its `gap`: by how much the portable graph prefers its own token to the
other's; and with `error`: the greatest difference between the logits of both graphs there. A gap of
no more than twice the error is one of rounding. Where no token differs all three are null.

Timed: whole answers whose input was encoded and whose prompt was fed before, with drafts by prompt
lookup and without, in turns; `against_none` is the time of all answers without drafts over that
with them, above 1 where drafts are faster. The last line is one JSON document.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 found by the line above

from benchmarks.document import (  # noqa: E402
    at_least_one,
    destination,
    machine,
    publish,
    versions_of,
)
from edgespark.runtime import load  # noqa: E402
from edgespark.runtime.bundle import Bundle  # noqa: E402
from edgespark.runtime.errors import EdgesparkError, UsageError  # noqa: E402
from edgespark.runtime.held_out import held_out  # noqa: E402
from edgespark.runtime.progress import track  # noqa: E402
from edgespark.runtime.prompt import question  # noqa: E402
from edgespark.runtime.spark import Spark  # noqa: E402
from edgespark.runtime.stats import Record  # noqa: E402

COMPARED = "greedy answers of derived decoders, letter by letter with those of portable ones"
UNITS = {
    "token": "place in the answer, the first is 0",
    "gap": "logits",
    "error": "logits",
    "against_none": "seconds without drafts, by seconds with at most so many tokens drafted",
}
PACKAGES = ("edgespark", "onnxruntime", "numpy")
DRAFTS = (2, 4, 8)  # tokens at most
Logits = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One input of a modality, as the chain takes it, and the question about it."""

    modality: str
    given: dict[str, Any]
    question: str


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--samples", type=at_least_one, default=8, help="of each modality")
    parser.add_argument("--json", type=destination, help="where the document is written")
    given = parser.parse_args()
    try:
        return run(given)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def run(given: argparse.Namespace) -> int:
    """Compare all variants that have a derived decoder: an exit code."""
    bundle = Bundle.open(given.bundle)
    if not bundle.manifest.samples:
        raise UsageError(f"{given.bundle} holds no samples out: export it with some")
    found = {}
    for variant in bundle.manifest.variants:
        made = compared(bundle, variant.name, given.samples)
        if made is not None:
            found[variant.name] = made
            drafts = ", ".join(f"{n}: {each}" for n, each in made["against_none"].items())
            print(
                f"{variant.name:6} {made['equal']} of {made['prompts']} answers alike, "
                f"{made['tokens']} tokens; with drafts, times as fast: {drafts}"
            )
    if not found:
        raise UsageError(f"{given.bundle} has no derived decoder: edgespark build")
    document = {
        "what": COMPARED,
        "units": UNITS,
        "bundle": bundle.manifest.name,
        "sha256": bundle.manifest.sha256,
        "samples_of_each_modality": given.samples,
        "variants": found,
        "versions": versions_of({"edgespark": [{"versions": {n: version(n) for n in PACKAGES}}]}),
        **machine(),
    }
    return publish(document, given.json)


def compared(bundle: Bundle, variant: str, samples: int) -> dict[str, Any] | None:
    """Compare one variant's answers; None where its decoder runs the portable graph."""
    derived, portable = (
        load(bundle.root, device="cpu", precision=variant, portable=each) for each in (False, True)
    )
    asked = list(prompts(derived, bundle, samples))
    differing, times, tokens, alike = [], dict.fromkeys((0, *DRAFTS), 0.0), 0, 0
    with track(asked, variant, len(asked)) as shown:
        for place, each in enumerate(shown):
            answer, wanted = (answered(spark, each) for spark in (derived, portable))
            if bundle.manifest.language.decoder not in derived.stats.lowered:
                return None
            tokens += derived.stats.new_tokens
            if answer == wanted:
                alike += 1
            else:
                differing.append(parted(derived, portable, each))
            order = [*times][place % len(times) :] + [*times][: place % len(times)]
            texts = {drafts: timed(derived, each, drafts, times) for drafts in order}
            differing += [
                {"modality": each.modality, "question": each.question, "drafts": drafts}
                for drafts, text in texts.items()
                if text != answer
            ]
    return {
        "prompts": len(asked),
        "equal": alike,
        "differing": differing,
        "tokens": tokens,
        "against_none": {n: round(times[0] / times[n], 3) for n in DRAFTS},
    }


def prompts(spark: Spark, bundle: Bundle, samples: int) -> Iterator[Asked]:
    """Give the first held-out samples of each modality."""
    heads = {route.modality: route.head for route in bundle.manifest.routes}
    for each in bundle.manifest.samples:
        data = held_out(bundle, each, heads[each.modality], samples)
        for value, text in zip(data["input"], data["question"], strict=True):
            given: dict[str, Any] = {**spark.prepare(**{each.modality: value})}
            yield Asked(modality=each.modality, given=given, question=str(text))


def answered(spark: Spark, asked: Asked, drafts: int = 0) -> str:
    """Answer greedily."""
    text: str = spark.generate(asked.question, temperature=0, prompt_lookup=drafts, **asked.given)
    return text


def timed(spark: Spark, asked: Asked, drafts: int, times: dict[int, float]) -> str:
    """Answer once more, and add the time that it took."""
    start = time.perf_counter()
    text = answered(spark, asked, drafts)
    times[drafts] += time.perf_counter() - start
    return text


def parted(derived: Spark, portable: Spark, asked: Asked) -> dict[str, Any]:
    """Tell where two greedy answers part, and how near to each other the two tokens are."""
    ours, theirs = (list(logits_of(each, asked)) for each in (derived, portable))
    tokens = [[int(each.argmax()) for each in answer] for answer in (ours, theirs)]
    apart = (i for i, pair in enumerate(zip(*tokens, strict=False)) if len({*pair}) > 1)
    place = next(apart, None)  # one that ended earlier differs in its end
    told = {"modality": asked.modality, "question": asked.question, "token": place}
    if place is None:
        return {**told, "gap": None, "error": None}
    wanted, (other, own) = theirs[place], (each[place] for each in tokens)
    return {
        **told,
        "gap": float(wanted[own] - wanted[other]),
        "error": float(np.abs(ours[place] - wanted).max()),
    }


def logits_of(spark: Spark, asked: Asked) -> Iterator[Logits]:
    """Give the logits before each token of a greedy answer, the end's too, [vocabulary] each."""
    model, record = spark._model, Record()  # noqa: SLF001 `generate` gives no logits
    language, most = model.manifest.language, model.manifest.language.generation.max_tokens
    blocks = model.blocks(asked.given, record)
    rows = model.sequence(blocks, question(language, asked.question), most, record)
    logits = np.array(model.feed(rows, record)["logits"][0, 0], np.float32)
    yield logits
    for _ in range(most - 1):
        token = int(logits.argmax())
        if token in language.end:
            return
        step = model._opened().step([token], record)  # noqa: SLF001 as `generate` feeds it
        logits = np.array(step[0], np.float32)
        yield logits


if __name__ == "__main__":
    sys.exit(main())
