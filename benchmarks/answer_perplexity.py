"""Perplexity of the right answers to a bundle's held-out samples, for each of its variants.

    python benchmarks/answer_perplexity.py BUNDLE [--samples 50]

Of every modality's first samples: the question is put as `generate` puts it, and the right answer's
tokens are fed one by one; counted is -log p of each of them and of the end. exp of the mean is the
perplexity: it tells what a precision costs where the answers stay the same, beside that of fp32
where the bundle has it. It runs on the CPU, through the runtime; nothing is timed. The last line is
one JSON document.
"""

import argparse
import json
import math
import platform
from collections.abc import Iterator

import numpy as np

from edgespark.runtime import load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.held_out import held_out
from edgespark.runtime.model import Model
from edgespark.runtime.progress import track
from edgespark.runtime.prompt import Piece, question
from edgespark.runtime.stats import Record


def surprises(model: Model, blocks: list[Piece], asked: str, answer: str) -> Iterator[float]:
    """Give -log p of each token of the answer, and of the end: what `generate` does, forced.

    `blocks` are what stands before the question.
    """
    record, language = Record(), model.manifest.language
    ids = [*model._tokenizer.encode(f" {answer}"), language.end[0]]  # noqa: SLF001
    rows = model.sequence(blocks, question(language, asked), len(ids), record)
    for token in ids:
        logits = np.asarray(model.feed(rows, record)["logits"][0, 0], np.float64)
        peak = logits.max()
        yield peak + math.log(np.exp(logits - peak).sum()) - logits[token]
        rows = model.chain.embed([token], record)


def perplexity(bundle: Bundle, variant: str, samples: int) -> tuple[float, int]:
    """Return the perplexity of a variant, and of how many tokens."""
    spark, found = load(bundle.root, device="cpu", precision=variant), list[float]()
    heads = {route.modality: route.head for route in bundle.manifest.routes}
    for each in bundle.manifest.samples:
        data = held_out(bundle, each, heads[each.modality], samples)
        places = range(len(data["input"]))
        with track(places, f"{variant} {each.modality}", len(places)) as shown:
            for i in shown:
                given: dict[str, object] = {
                    **spark.prepare(**{each.modality: data["input"][i]}),
                }
                asked, answer = (str(data[name][i]) for name in ("question", "answer"))
                blocks = spark._model.blocks(given, Record())  # noqa: SLF001
                found += surprises(spark._model, blocks, asked, answer)  # noqa: SLF001
    return math.exp(np.mean(found)), len(found)


def main() -> None:
    """Judge every variant, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--samples", type=int, default=50, help="of each modality")
    given = parser.parse_args()
    bundle = Bundle.open(given.bundle)
    report: dict[str, object] = {
        "bundle": bundle.manifest.name,
        "sha256": bundle.manifest.sha256,
        "samples": given.samples,
        "python": platform.python_version(),
        **bundle.manifest.evidence.versions,
    }
    wide: float | None = None
    for variant in bundle.manifest.variants:
        value, tokens = perplexity(bundle, variant.name, given.samples)
        wide = value if variant.name == "fp32" else wide
        more = "" if wide is None else f", {100 * (value / wide - 1):+.3f} % of fp32"
        print(f"{variant.name:6} {value:.5f}  ({tokens} tokens{more})")
        report[variant.name] = round(value, 5)
        report |= {} if wide is None else {f"{variant.name} / fp32": round(value / wide, 6)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
