"""`edgespark sample DIR`: make a calibration set of the files in a folder."""

import argparse
from collections.abc import Sequence
from functools import partial

from edgespark.calibration.sampling_items import Wish, items
from edgespark.calibration.sampling_patterns import Pattern, pattern_from_text
from edgespark.calibration.set_files import Watch, folder
from edgespark.calibration.set_manifest import NAME, Items
from edgespark.calibration.set_reader import CalibrationSet
from edgespark.calibration.set_writer import check_place, write_set
from edgespark.runtime.commandline import Parser, show, show_json
from edgespark.runtime.errors import UsageError
from edgespark.runtime.options import check_count
from edgespark.runtime.progress import track
from edgespark.runtime.wording import printable

MOST = 100_000
"""Samples of a modality; more make no range better, and the manifest too long."""
LARGEST = 1 << 16
"""Pixels of a window's side."""
SEEDS = 1 << 63


def main(arguments: list[str]) -> int:
    """Write the manifest of a calibration set, and tell what is in it."""
    given = _parser().parse_args(arguments)
    _check(given)
    root = folder(given.folder)
    check_place(root, replace=given.replace)
    wish = Wish(count=given.count, size=given.size, seed=given.seed, least=given.min_valid)
    modalities = {
        name: Items(items=items(root, patterns, wish, partial(track, asked=given.progress)))
        for name, patterns in _patterns(given.input).items()
    }
    made = write_set(
        *(root, modalities), seed=given.seed, replace=given.replace, watch=_hashing(given.progress)
    )
    if given.json:
        show_json(_document(made))
    else:
        show(_lines(made))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="edgespark sample", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="the folder that the files lie in")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="NAME=PATTERN",
        help="files of a modality, relative to DIR: msi=*.tif or trajectory=walks/*.csv?agent=12",
    )
    parser.add_argument("--count", type=int, metavar="N", help="samples of each modality")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of windows")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="what is drawn with")
    parser.add_argument(
        *("--min-valid",),
        type=float,
        default=0.9,
        metavar="SHARE",
        help="of a window's samples that must be valid, up to 1",
    )
    parser.add_argument("--replace", action="store_true", help="write over a manifest")
    parser.add_argument("--json", action="store_true", help="give one JSON document on stdout")
    parser.add_argument("--progress", action="store_true", help="show progress on any stderr")
    return parser


def _check(given: argparse.Namespace) -> None:
    if given.count is not None:
        check_count("--count", given.count, MOST)
    check_count("--size", given.size, LARGEST)
    if not 0 <= given.seed < SEEDS:
        raise UsageError(f"--seed must be from 0 to {SEEDS - 1}, got {given.seed}")
    if not 0 < given.min_valid <= 1:
        raise UsageError(f"--min-valid must be above 0, and 1 at most, got {given.min_valid}")


def _patterns(texts: Sequence[str]) -> dict[str, list[Pattern]]:
    made: dict[str, list[Pattern]] = {}
    for each in map(pattern_from_text, texts):
        made.setdefault(each.modality, []).append(each)
    return made


def _hashing(asked: bool) -> Watch:  # noqa: FBT001 as it was asked
    return lambda paths: track(paths, "hash", len(paths), asked=asked)


def _told(made: CalibrationSet) -> dict[str, dict[str, int]]:
    """Return how many samples each modality has, and how many files they lie in."""
    return {
        name: {"samples": len(each.items), "files": len({item.path for item in each.items})}
        for name, each in made.manifest.modalities.items()
        if isinstance(each, Items)
    }


def _document(made: CalibrationSet) -> dict[str, object]:
    return {
        "manifest": str(made.root / NAME),
        "sha256": made.digest,
        "seed": made.manifest.seed,
        "modalities": _told(made),
    }


def _lines(made: CalibrationSet) -> str:
    lines = [
        printable(
            f"  {name}: {_count(each['samples'], 'sample')} of {_count(each['files'], 'file')}"
        )
        for name, each in _told(made).items()
    ]
    return "\n".join([printable(f"{made.root / NAME}:"), *lines, f"  sha256 {made.digest}"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
