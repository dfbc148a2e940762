"""The command `export-engines`: from a recipe's name to a bundle on disk."""

from argparse import ArgumentTypeError
from pathlib import Path

from edgespark.export.exporter import export
from edgespark.export.pack import destination
from edgespark.export.precisions import PRECISIONS, asked
from edgespark.export.recipes import RECIPES, model_name, recipe
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, show, show_json


def parser() -> Parser:
    """Describe the command's arguments."""
    made = Parser(prog="export-engines", description=__doc__)
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
    made.add_argument("--replace", action="store_true", help="replace the bundle that is there")
    made.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return made


def _path(text: str) -> Path:
    if not text:  # pathlib takes it for the current folder
        raise ArgumentTypeError("is empty; expected a path")
    return Path(text)


def main(arguments: list[str]) -> int:
    """Export; see `parser`. Raises the errors of edgespark.runtime.errors."""
    options = parser().parse_args(arguments)
    precisions = asked(options.precision.split(",")) if options.precision is not None else ()
    chosen = recipe(options.recipe)
    out = destination(options.out, replace=options.replace)
    parts = () if options.parts is None else tuple(options.parts.split(","))
    blueprint = chosen.blueprint(model_name(options.recipe), options.checkpoint, parts)
    bundle = export(blueprint, out, replace=options.replace, precisions=precisions)
    if options.json:
        show_json(_document(bundle))
    else:
        show(_line(bundle))
    return 0


def _document(bundle: Bundle) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.root),
        "name": manifest.name,
        "modalities": [route.modality for route in manifest.routes],
        "bytes": sum(file.bytes for file in bundle.files()),
        "parts": [
            {"name": each.part, "precision": each.precision, "error": each.error, "ms": each.ms}
            for each in manifest.evidence.parity
        ],
    }


def _line(bundle: Bundle) -> str:
    manifest = bundle.manifest
    total = sum(file.bytes for file in bundle.files())
    worst = max(manifest.evidence.parity, key=lambda each: each.error)
    return (
        f"{bundle.root}: {manifest.name}, {len(manifest.parts)} parts, {total / 1e6:.1f} MB; "
        f"furthest from PyTorch: {worst.part}, {worst.error:.1e} of a standard deviation "
        f"({worst.backend})"
    )
