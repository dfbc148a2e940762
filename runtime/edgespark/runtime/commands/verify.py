"""`edgespark verify BUNDLE`: hash every file and measure every graph against PyTorch's outputs.

With --scores every variant is compared with fp32 on the bundle's held-out samples, and every graph
with the part's fp32 graph, layer by layer. Files that exist are kept, unless --replace is given.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf, isfinite
from pathlib import Path
from typing import TypeAlias

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import (
    Parser,
    add_bundle,
    add_device,
    hashing,
    show,
    show_json,
    tell,
)
from edgespark.runtime.derived import PORTABLE
from edgespark.runtime.device import Device, check_packages, device_named
from edgespark.runtime.errors import CheckError, UsageError
from edgespark.runtime.evidence.destination import Destination
from edgespark.runtime.evidence.document import document
from edgespark.runtime.evidence.lines import lines
from edgespark.runtime.evidence.markdown import markdown
from edgespark.runtime.evidence.picture import picture
from edgespark.runtime.evidence.verified import Verified, key
from edgespark.runtime.layers import Layers, claimed, layers
from edgespark.runtime.options import MOST_THREADS, check_count
from edgespark.runtime.progress import track
from edgespark.runtime.scores import Judged, Run, judged
from edgespark.runtime.verify import Form, Row, check_derived, check_files, forms, row
from edgespark.runtime.wording import listed

Write: TypeAlias = Callable[[Verified], str]

FILES: dict[str, Write] = {
    "markdown": markdown,
    "picture": lambda found: picture(f"{found.name} on {found.device}", found.layers or ()),
}
"""What is written to the file of each option."""


def main(arguments: list[str]) -> int:
    """Print a row per graph, and scores if asked for; 0 if all limits hold, else 5.

    Beside each score stand what the bundle's evidence says of it, and what simpler methods scored:
    both were measured when the bundle was made, on as many samples as the evidence names.
    """
    given = _parser().parse_args(arguments)
    _check_options(given)
    device = device_named(given.device)
    check_packages()
    bundle = Bundle.open(given.bundle)
    files = _destinations(given, bundle)
    check_files(bundle, hashing(asked=given.progress))
    check_derived(bundle)
    found = _verified(bundle, device, given, forms(bundle, device))
    for name, file in files.items():
        file.write(FILES[name](found))
    if given.json:
        show_json(document(found))
    else:
        show(lines(found))
    _tell_unknown(found.layers or ())
    return _judge(found.rows)


def _parser() -> Parser:
    parser = Parser(prog="edgespark verify", description=__doc__)
    add_bundle(parser)
    add_device(parser)
    parser.add_argument("--scores", action="store_true", help="compare all on held-out samples")
    parser.add_argument("--samples", type=int, metavar="N", help="only the first N of each set")
    parser.add_argument("--markdown", metavar="FILE", help="write what was measured as tables")
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the error of each layer")
    parser.add_argument("--replace", action="store_true", help="replace these files where they are")
    return parser


def _check_options(given: argparse.Namespace) -> None:
    for name, most in (("threads", MOST_THREADS), ("samples", inf)):
        if getattr(given, name) is not None:
            check_count(f"--{name}", getattr(given, name), most)
    if given.samples is not None and not given.scores:
        raise UsageError("--samples means nothing without --scores: add that, or leave both out")
    if given.replace and not _paths(given):
        raise UsageError("--replace means nothing without --markdown or --picture: leave it out")
    if given.picture is not None and not given.picture.lower().endswith(".svg"):
        raise UsageError(f"--picture {given.picture}: it is drawn as SVG, name a file that ends so")


def _paths(given: argparse.Namespace) -> Mapping[str, str]:
    return {name: getattr(given, name) for name in FILES if getattr(given, name) is not None}


def _destinations(given: argparse.Namespace, bundle: Bundle) -> dict[str, Destination]:
    """Return the file of each option that was given, after judging all of them."""
    paths = {name: Path(path) for name, path in _paths(given).items()}
    if len({os.path.realpath(path) for path in paths.values()}) < len(paths):
        raise UsageError("--markdown and --picture name one file: give each its own")
    if "picture" in paths and not claimed(bundle):
        raise UsageError(
            "--picture: the evidence of this bundle names no layers, so there is nothing to draw; "
            "export it with --calibration and --budget"
        )
    files = {name: Destination(path=path, replace=given.replace) for name, path in paths.items()}
    for file in files.values():
        file.check(bundle.root)
    return files


def _verified(
    bundle: Bundle, device: Device, given: argparse.Namespace, found: Sequence[Form]
) -> Verified:
    with track(found, "verify", len(found), asked=given.progress) as shown:
        done = tuple(row(bundle, device, each, given.threads) for each in shown)
    wanted = given.scores or bool(_paths(given))
    scored = given.scores and not _tell_broken(done)
    return Verified(
        name=bundle.manifest.name,
        device=device.name,
        rows=done,
        layers=_layers(bundle, device, given) if wanted else None,
        judged=_judged(bundle, given) if scored else None,
        before={key(score): score for score in bundle.manifest.evidence.scores},
    )


def _tell_broken(done: Iterable[Row]) -> bool:
    """Tell of graphs that gave what is not finite, with which no chain can go on."""
    broken = [each.title for each in done if not isfinite(each.error)]
    if broken:
        tell(
            f"no scores were measured, as some graphs failed on their references: {listed(broken)}"
        )
    return bool(broken)


def _layers(bundle: Bundle, device: Device, given: argparse.Namespace) -> tuple[Layers, ...]:
    total = len(claimed(bundle))
    if not total:
        return ()
    measured = layers(bundle, device, given.threads)
    with track(measured, "layers", total, asked=given.progress) as shown:
        return tuple(shown)


def _judged(bundle: Bundle, given: argparse.Namespace) -> Judged:
    def shown(indices: Sequence[int], title: str) -> AbstractContextManager[Iterable[int]]:
        return track(indices, title, len(indices), asked=given.progress)

    run = Run(device=given.device, threads=given.threads, limit=given.samples)
    return judged(bundle, shown, run)


def _tell_unknown(measured: Iterable[Layers]) -> None:
    for each in measured:
        if each.unknown:
            tell(
                f"{each.name} {each.precision}: not measured, as they are no float tensors of both "
                f"this graph and the part's fp32 graph: {listed(each.unknown)}"
            )


def _judge(done: Iterable[Row]) -> int:
    short = [each for each in done if not each.ok]
    for each in short:
        tell(
            f"{each.title}: {each.error:.1e} standard deviations from PyTorch; its limit in this "
            f"bundle is {each.limit:.1e}: {PORTABLE_OFF if each.form == PORTABLE else DERIVED_OFF}"
        )
    return CheckError.exit_code if short else 0


PORTABLE_OFF = (
    "another device, or another version of its libraries, may compute otherwise than the one that "
    "exported it"
)
DERIVED_OFF = (
    "delete its folder under derived/, which `edgespark inspect --json` names, and "
    "`edgespark build` makes it again"
)
