"""The command `export-engines`: from a recipe's name to a bundle on disk."""

from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from math import inf
from pathlib import Path

from edgespark.calibration.methods import METHODS
from edgespark.calibration.sets import CalibrationSet
from edgespark.engines import cli_build
from edgespark.engines.build import check
from edgespark.engines.forms import BLOCKS
from edgespark.engines.int8 import Int8
from edgespark.engines.targets import TARGETS, target_named
from edgespark.engines.weight_only import ROUNDINGS, Rounder, Weights
from edgespark.export.costs import document, slower, table
from edgespark.export.exporter import exported
from edgespark.export.pack import destination
from edgespark.export.plan import Plan, check_budget
from edgespark.export.precisions import PRECISIONS, asked
from edgespark.export.recipes import RECIPES, model_name, recipe
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, show, show_json, tell
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Precision
from edgespark.runtime.options import check_count

NEEDING = {
    "--ranges": "ranges",
    "--samples": "samples",
    "--method": "method",
    "--plain": "plain",
    "--budget": "budget",
    "--int8-cache": "int8_cache",
}
"""Options that mean nothing without a calibration set, by the names of their values."""
LOWERED = "cpu"
"""The target whose derived graphs a CPU runs."""


def parser() -> Parser:
    """Describe the command's arguments."""
    made = Parser(prog="export-engines", description=__doc__)
    for add in (_add_model, _add_data, _add_weights, _add_output):
        add(made)
    return made


def _add_model(made: Parser) -> None:
    made.add_argument(
        "recipe",
        metavar="RECIPE",
        help=f"one of: {', '.join(RECIPES)}; or a .py file that defines blueprint()",
    )
    made.add_argument("--out", type=_path, required=True, help="folder of the bundle to be")
    made.add_argument("--checkpoint", type=_path, help="weights: a file or a folder")
    made.add_argument("--parts", help="modalities to export, as in rgb,msi (default: all)")
    made.add_argument(
        "--precision",
        help=f"as in fp32,int4, of: {', '.join(PRECISIONS)} (default: the recipe's own)",
    )


def _add_data(made: Parser) -> None:
    made.add_argument(
        "--calibration",
        type=_path,
        metavar="DIR",
        help="a set that `edgespark sample` made: int8 needs one, fp16 takes its ranges",
    )
    made.add_argument(
        "--ranges", type=_path, metavar="DIR", help="what `edgespark calibrate` wrote on that set"
    )
    made.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="gather ranges on the first N of each modality alone (a budget is judged on all)",
    )
    made.add_argument(
        "--method",
        choices=tuple(METHODS),
        help=f"how a range is taken of what was seen (default: {Int8().method})",
    )
    made.add_argument(
        "--plain", action="store_true", help="int8 without smoothing and bias correction"
    )
    made.add_argument(
        "--budget",
        type=float,
        metavar="POINTS",
        help="what a task's score may fall by in int8; layers go back to fp32 until it holds",
    )
    made.add_argument(
        "--int8-cache", action="store_true", help="keep keys and values as int8 in int8 and int4"
    )


def _add_weights(made: Parser) -> None:
    made.add_argument(
        "--block",
        type=int,
        choices=BLOCKS[:-1],
        help=f"rows of an int4 block that share a scale, at most (default: {Weights().block})",
    )
    made.add_argument(
        "--signed-scales",
        action="store_true",
        help="int4 scales of either sign, for smaller errors; TensorRT reads positive ones alone",
    )
    made.add_argument(
        "--rounding",
        choices=ROUNDINGS,
        help="how the LLM's integers are rounded (default: gptq with a calibration set, which it "
        "needs as awq does; else nearest)",
    )
    made.add_argument(
        "--weights-only",
        action="store_true",
        help="int8 of the LLM's weights alone, which needs no calibration set",
    )


def _add_output(made: Parser) -> None:
    made.add_argument(
        *("--target",),
        metavar="NAME",
        help=f"derive what it runs fastest, as `edgespark build` does: {', '.join(TARGETS)}",
    )
    made.add_argument("--replace", action="store_true", help="replace the bundle that is there")
    made.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def _path(text: str) -> Path:
    if not text:  # pathlib takes it for the current folder
        raise ArgumentTypeError("is empty; expected a path")
    return Path(text)


def main(arguments: list[str]) -> int:
    """Export; see `parser`. Raises the errors of edgespark.runtime.errors."""
    options = parser().parse_args(arguments)
    target = None if options.target is None else target_named(options.target)
    precisions = asked(options.precision.split(",")) if options.precision is not None else ()
    chosen = recipe(options.recipe)
    out = destination(options.out, replace=options.replace)
    parts = () if options.parts is None else tuple(options.parts.split(","))
    _check(options, precisions)
    plan = _plan(options)
    blueprint = chosen.blueprint(model_name(options.recipe), options.checkpoint, parts)
    done = exported(blueprint, out, replace=options.replace, precisions=precisions, plan=plan)
    bundle, found = done.bundle, done.costs
    derived = () if target is None else tuple(cli_build.derive(bundle, target))
    if options.json:
        made = {"derived": cli_build.document(target, derived)} if target is not None else {}
        show_json({**_document(bundle), "scores": document(found), **made})
    else:
        built = "\n".join(cli_build.lines(derived)) if derived else ""
        show(
            "\n\n".join(
                filter(None, (table(bundle, found), _line(bundle), _choices(bundle), built))
            )
        )
    if plan.calibration is None and any(v.name == "fp16" for v in bundle.manifest.variants):
        tell(
            "fp16 without --calibration: no recorded range says that nothing overflows on real data"
        )
    for line in slower(bundle):
        tell(line)
    check(derived)
    return 0


def _check(options: Namespace, precisions: tuple[Precision, ...]) -> None:
    """Refuse options that contradict each other, before anything is read."""
    if options.calibration is None:
        if given := [
            name for name, value in NEEDING.items() if getattr(options, value) not in (None, False)
        ]:
            raise UsageError(f"{', '.join(given)} needs --calibration DIR")
        if "int8" in precisions and not options.weights_only:
            raise UsageError(
                "int8 is calibrated on data, never on random numbers: give --calibration DIR (a "
                "folder of inputs, which `edgespark sample` describes), or --weights-only for "
                "int8 of the LLM's weights alone"
            )
    elif options.weights_only:
        raise UsageError("--weights-only needs no --calibration: give one of both")
    if options.ranges is not None and not options.ranges.is_dir():
        raise UsageError(
            f"--ranges {options.ranges}: there is no such folder; expected one that "
            "`edgespark calibrate` wrote"
        )
    if options.samples is not None:
        check_count("--samples", options.samples, inf)
    if options.budget is not None:
        check_budget(options.budget, precisions)
    for name, value, wanted in (
        ("--block", options.block, {"int4"}),
        ("--signed-scales", options.signed_scales, {"int4"}),
        ("--rounding", options.rounding, {"int8", "int4"}),
    ):
        if value and not wanted & set(precisions):
            told = name if value is True else f"{name} {value}"
            raise UsageError(f"{told} is of {' and '.join(sorted(wanted))}: name it in --precision")


def _plan(options: Namespace) -> Plan:
    weights = _weights(options)
    if options.calibration is None:
        return Plan(weights=weights)
    method = {} if options.method is None else {"method": options.method}
    return Plan(
        calibration=CalibrationSet.open(options.calibration),
        ranges=options.ranges,
        limit=options.samples,
        how=Int8(smooth=not options.plain, correct=not options.plain, **method),
        budget=options.budget,
        cache=options.int8_cache,
        weights=weights,
        lowered=options.target == LOWERED,
    )


def _weights(options: Namespace) -> Weights:
    """Return how the LLM's integers are made: by data where it is there, unless told otherwise."""
    plain = options.plain or options.calibration is None
    rounding: Rounder = options.rounding or ("nearest" if plain else "gptq")
    return Weights(
        block=options.block or Weights().block, signed=options.signed_scales, rounding=rounding
    )


def _document(bundle: Bundle) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.root),
        "name": manifest.name,
        "modalities": [route.modality for route in manifest.routes],
        "bytes": sum(file.bytes for file in bundle.files()),
        "preferred": manifest.preferred,
        "choices": [asdict(each) for each in manifest.evidence.choices],
        "parts": [
            {
                "name": each.part,
                "precision": each.precision,
                "error": each.error,
                "ms": each.ms,
                "share": each.share,
                "kept": each.kept,
            }
            for each in manifest.evidence.parity
        ],
    }


def _choices(bundle: Bundle) -> str:
    """Say what each device takes, and why."""
    return "\n".join(f"{each.device} takes {each.why}" for each in bundle.manifest.evidence.choices)


def _line(bundle: Bundle) -> str:
    manifest = bundle.manifest
    total = sum(file.bytes for file in bundle.files())
    worst = max(manifest.evidence.parity, key=lambda each: each.error)
    return (
        f"{bundle.root}: {manifest.name}, {len(manifest.parts)} parts, {total / 1e6:.1f} MB; "
        f"furthest from PyTorch: {worst.part}, {worst.error:.1e} of a standard deviation "
        f"({worst.backend})"
    )
