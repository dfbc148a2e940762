"""`edgespark run BUNDLE`: ask a bundle about inputs."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from edgespark.runtime.chain import route_named
from edgespark.runtime.commandline import (
    Parser,
    add_bundle,
    add_device,
    show,
    show_json,
    tell,
)
from edgespark.runtime.errors import UsageError
from edgespark.runtime.inputs import parse_argument
from edgespark.runtime.manifest import Manifest
from edgespark.runtime.progress import track
from edgespark.runtime.spark import Spark, load
from edgespark.runtime.stats import Stats
from edgespark.runtime.tasks import check_labels, heads
from edgespark.runtime.wording import printable

BARS = 5  # the most probable classes are drawn
WIDTH = 30  # characters of a probability of 1

Modalities: TypeAlias = Mapping[str, Any]


OF_ANSWERS = ("prompt", "decoding")
"""Options that mean nothing where nothing is answered."""


def main(arguments: list[str]) -> int:
    """Print what each stage took, the scores or the prediction, and last the answer; return 0."""
    given = _parser().parse_args(arguments)
    modalities = _modalities(given.input)
    _check_task(given)
    spark = load(
        given.bundle, device=given.device, precision=given.precision, threads=given.threads
    )
    for name in modalities:  # before a name could be taken for another argument of `generate`
        route_named(spark.manifest, name)
    results, stats = _results(spark, given, modalities)
    unit = _unit(spark.manifest, modalities) if "prediction" in results else ""
    if given.json:
        show_json({**_document(results, stats), "unit": unit or None})
    else:
        show("\n\n".join(_paragraphs(results, stats, unit)))
    return 0


def _check_task(given: argparse.Namespace) -> None:
    for name in OF_ANSWERS:
        if getattr(given, name) is not None and given.task not in (None, "generate"):
            raise UsageError(f"--{name} means nothing to --task {given.task}: leave one out")


def _parser() -> Parser:
    parser = Parser(prog="edgespark run", description=__doc__)
    add_bundle(parser)
    add_device(parser)
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an input, such as rgb=scene.tif?window=0,0,224,224&bands=4,3,2, language='some text' "
        "or language=@notes.txt; may be repeated",
    )
    parser.add_argument("--prompt", help="what to ask (default: the bundle's own question)")
    parser.add_argument(
        "--task", choices=TASKS, help="default: generate, and classify or predict where possible"
    )
    parser.add_argument("--precision", default="auto", help="a variant of the bundle")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="default: the bundle's own")
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: the bundle's own)")
    parser.add_argument("--top-p", type=float, help="above 0, up to 1 (default: the bundle's own)")
    parser.add_argument("--decoding", help="a way to decode that the bundle names (default: right)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", action="append", default=[], help="end the answer before this")
    return parser


def _modalities(inputs: Sequence[str]) -> dict[str, object]:
    modalities: dict[str, object] = {}
    for text in inputs:
        name, value = parse_argument(text)
        if name in modalities:
            raise UsageError(f"--input {name}=… stands more than once")
        modalities[name] = value
    return modalities


def _results(
    spark: Spark, given: argparse.Namespace, modalities: Modalities
) -> tuple[dict[str, Any], list[Stats]]:
    """Return each task's result by its JSON key, and the stats of each call."""
    tasks = [given.task or "generate"]
    if given.task is None:
        tasks += _further(spark, modalities)
    results: dict[str, Any] = {}
    ready = spark.prepare(**modalities)  # once, for all tasks
    stats = [spark.stats]
    for task in tasks:
        key, carry_out = TASKS[task]
        results[key] = carry_out(spark, given, ready)
        stats.append(spark.stats)
    return results, stats


def _further(spark: Spark, modalities: Modalities) -> list[str]:
    """Return what can be told beside the answer; what hinders it is told on stderr."""
    routes = spark.manifest.routes
    found = {name: spark.manifest.route(name).head for name in modalities}
    tasks = {head.task for head in found.values() if head is not None}
    if tasks == {"regression"} and len(found) == 1:
        return ["predict"]
    if not modalities or all(route.head is None for route in routes):
        return []
    try:
        check_labels(heads("classification", routes, list(modalities)))
    except UsageError as error:
        tell(f"no scores: {error}")
        return []
    return ["classify"]


def _generate(spark: Spark, given: argparse.Namespace, modalities: Modalities) -> str:
    prompt = given.prompt
    if prompt is None:
        prompt = _question(spark.manifest, modalities)
        tell(f"no --prompt: asking {prompt!r}")
    stream = spark.generate(
        prompt,
        max_tokens=given.max_tokens,
        temperature=given.temperature,
        top_p=given.top_p,
        seed=given.seed,
        stop=given.stop,
        decoding=given.decoding,
        stream=True,
        **modalities,
    )
    most = given.max_tokens or spark.manifest.language.generation.max_tokens
    with stream, track(stream, "answer", most) as pieces:
        return "".join(pieces)


def _question(manifest: Manifest, modalities: Modalities) -> str:
    """Return what the first modality asks by itself, else what the bundle does."""
    asked = [manifest.route(name).question for name in modalities]
    return (asked and asked[0]) or manifest.language.question


def _unit(manifest: Manifest, modalities: Modalities) -> str:
    """Return the unit of what the one modality that was given predicts."""
    (head,) = (manifest.route(name).head for name in modalities)
    return head.unit if head is not None else ""


def _classify(spark: Spark, _: argparse.Namespace, modalities: Modalities) -> dict[str, float]:
    return spark.classify(**modalities)


def _predict(spark: Spark, _: argparse.Namespace, modalities: Modalities) -> object:
    values: object = spark.predict(**modalities).tolist()
    return values


def _embed(spark: Spark, _: argparse.Namespace, modalities: Modalities) -> list[list[float]]:
    rows: list[list[float]] = spark.embed(**modalities).tolist()
    return rows


Task: TypeAlias = Callable[[Spark, argparse.Namespace, Modalities], object]

TASKS: dict[str, tuple[str, Task]] = {
    "generate": ("answer", _generate),
    "classify": ("scores", _classify),
    "predict": ("prediction", _predict),
    "embed": ("embedding", _embed),
}


def _stages(stats: Sequence[Stats]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in stats:
        for name, ms in each.stages.items():
            total[name] = total.get(name, 0.0) + ms
    return total


def _document(results: Mapping[str, Any], stats: Sequence[Stats]) -> dict[str, object]:
    first = stats[1]  # of the first task; before it the inputs were prepared
    return {
        **{key: results.get(key) for key, _ in TASKS.values()},
        "device": first.device,
        "precision": first.precision,
        "precisions": first.precisions,
        "widened": first.widened,
        "threads": first.threads,
        "stages": _stages(stats),
        "valid": first.valid,
        "prompt_tokens": first.prompt_tokens,
        "new_tokens": first.new_tokens,
    }


def _paragraphs(results: Mapping[str, Any], stats: Sequence[Stats], unit: str) -> list[str]:
    made = [DRAW[key](results[key], unit) for key in reversed(list(results))]  # the answer last
    stages: dict[str, float] = {}
    for name, ms in _stages(stats).items():
        shown = "load" if name.startswith("load.") else name
        stages[shown] = stages.get(shown, 0.0) + ms
    width = max(map(len, stages))
    lines = [f"  {name:{width}}  {ms:9.2f} ms" for name, ms in stages.items()]
    lines.append(f"  {'total':{width}}  {sum(stages.values()):9.2f} ms")
    wide = ", computed in float32" if stats[0].widened else ""
    return ["\n".join([f"{stats[0].precision} on {stats[0].device}{wide}:", *lines]), *made]


def _bars(scores: Mapping[str, float], _: str) -> str:
    top = list(scores.items())[:BARS]
    width = max(len(label) for label, _ in top)
    lines = (f"  {label:{width}}  {p:.3f}  {'#' * round(p * WIDTH)}" for label, p in top)
    return "\n".join(printable(line.rstrip()) for line in lines)


def _answer(text: str, _: str) -> str:
    return printable(text, keep="\n") or "(no answer)"


def _numbers(values: Sequence[Any], unit: str) -> str:
    """Draw numbers, a line for each row of the last axis, to four digits behind the point."""
    array = np.asarray(values)
    rows = array.reshape(-1, array.shape[-1])
    text = np.array2string(
        rows,
        precision=4,
        suppress_small=bool(np.abs(rows).max() >= 1),
        threshold=sys.maxsize,
        max_line_width=sys.maxsize,
    )
    lines = text.replace("[", " ").replace("]", "").splitlines()
    title = printable(f"prediction in {unit}:" if unit else "prediction:")
    return "\n".join([title, *(line.rstrip() for line in lines)])


def _size(rows: Sequence[Sequence[float]], _: str) -> str:
    return f"embedding of {len(rows)} tokens, {len(rows[0])} wide; --json gives the numbers"


DRAW: dict[str, Callable[[Any, str], str]] = {
    "answer": _answer,
    "scores": _bars,
    "prediction": _numbers,
    "embedding": _size,
}
