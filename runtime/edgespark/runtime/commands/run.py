"""`edgespark run BUNDLE`: ask a bundle about inputs."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from edgespark.runtime.chain import route_named
from edgespark.runtime.commandline import (
    Parser,
    add_bundle,
    add_device,
    show,
    show_json,
    tell,
)
from edgespark.runtime.commands.drawn import paragraphs, times
from edgespark.runtime.errors import UsageError
from edgespark.runtime.inputs import parse_argument
from edgespark.runtime.manifest import Manifest
from edgespark.runtime.progress import track
from edgespark.runtime.spark import Spark, load
from edgespark.runtime.stats import Stats
from edgespark.runtime.tasks import check_labels, heads

Modalities: TypeAlias = Mapping[str, Any]

OF_ANSWERS = ("prompt", "decoding", "top_k", "prompt_lookup")
"""Options that mean nothing where nothing is answered."""


def main(arguments: list[str]) -> int:
    """Print what each stage took, the scores or the prediction, and last the answer; return 0."""
    given = _parser().parse_args(arguments)
    modalities = _modalities(given.input)
    _check_task(given)
    spark = load(
        given.bundle,
        device=given.device,
        precision=given.precision,
        threads=given.threads,
        portable=given.portable,
    )
    for name in modalities:  # before a name could be taken for another argument of `generate`
        route_named(spark.manifest, name)
    results, stats = _results(spark, given, modalities)
    unit = _unit(spark.manifest, modalities) if "prediction" in results else ""
    if given.json:
        show_json({**_document(results, stats), "unit": unit or None})
    else:
        show("\n\n".join(paragraphs(results, stats, unit)))
    return 0


def _check_task(given: argparse.Namespace) -> None:
    for name in OF_ANSWERS:
        if getattr(given, name) is not None and given.task not in (None, "generate"):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} means nothing to --task {given.task}: leave one out")


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
    parser.add_argument(
        "--portable",
        action="store_true",
        help="run the bundle's own graphs, also where some were derived for this device",
    )
    parser.add_argument("--max-tokens", type=int, metavar="N", help="default: the bundle's own")
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: the bundle's own)")
    parser.add_argument("--top-p", type=float, help="above 0, up to 1 (default: the bundle's own)")
    parser.add_argument(
        "--top-k", type=int, metavar="N", help="draw from the N most probable only (default: all)"
    )
    parser.add_argument(
        "--prompt-lookup",
        type=int,
        metavar="N",
        help="draft up to N tokens from what stands before, and check them in one run: faster "
        "where the answer repeats the prompt, the same but where two tokens tie (default: none)",
    )
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
        top_k=given.top_k or 0,
        seed=given.seed,
        stop=given.stop,
        decoding=given.decoding,
        prompt_lookup=given.prompt_lookup or 0,
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


def _document(results: Mapping[str, Any], stats: Sequence[Stats]) -> dict[str, object]:
    first = stats[1]  # of the first task; before it the inputs were prepared
    return {
        **{key: results.get(key) for key, _ in TASKS.values()},
        "device": first.device,
        "precision": first.precision,
        "precisions": first.precisions,
        "widened": first.widened,
        "lowered": stats[-1].lowered,
        "unsaturated": stats[-1].unsaturated,
        "instructions": first.instructions,
        "threads": first.threads,
        "stages": times(stats),
        "valid": first.valid,
        "prompt_tokens": first.prompt_tokens,
        "reused_tokens": first.reused_tokens,
        "new_tokens": first.new_tokens,
        "drafted": first.drafted,
        "accepted": first.accepted,
        "cached": list(dict.fromkeys(name for each in stats for name in each.cached)),
    }
