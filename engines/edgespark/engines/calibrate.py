"""`edgespark calibrate BUNDLE --calibration DIR`: gather the ranges that narrower graphs need.

A bundle itself never changes: without --out they lie in its folder derived/calibration.
"""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from edgespark.calibration.gather import How, gather, unreached
from edgespark.calibration.methods import METHODS, peak_of
from edgespark.calibration.ranges import PartCalibration
from edgespark.calibration.sets import CalibrationSet, check_fit
from edgespark.calibration.statistics import Method
from edgespark.calibration.whole import check_folder, save_all
from edgespark.engines.passes.prepare import prepared
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.commandline import Parser, add_bundle, show, show_json, tell
from edgespark.runtime.errors import OutputError, UsageError
from edgespark.runtime.manifest import DERIVED
from edgespark.runtime.options import MOST_THREADS, check_count
from edgespark.runtime.progress import track
from edgespark.runtime.wording import listed, near, printable

FOLDER = "calibration"
DEFAULT: Method = "mse"
COLUMNS = ("part", "tensors", "samples", "widest range", "of tensor", "seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What was gathered for a part: its widest range, by the method that was asked for."""

    part: str
    tensors: int
    samples: int
    widest: float
    tensor: str
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is printed."""
        return (
            self.part,
            str(self.tensors),
            str(self.samples),
            f"{self.widest:.4g}",
            self.tensor,
            f"{self.seconds:.1f}",
        )


def main(arguments: list[str]) -> int:
    """Gather and write PART.json and its arrays for every part, all of them or none.

    Raises InputError for a set that the bundle cannot take, OutputError where nothing can, or must,
    be written.
    """
    given = _parser().parse_args(arguments)
    _check(given)
    bundle = Bundle.open(given.bundle)
    folder = _inside(bundle) if given.out is None else _outside(bundle, given.out)
    check_folder(folder)  # before anyone waits
    samples = CalibrationSet.open(
        given.calibration, lambda files: track(files, "hash", len(files), asked=given.progress)
    )
    check_fit(samples, bundle.manifest.routes)
    how = How(limit=given.samples, threads=given.threads, progress=given.progress)
    made = gather(bundle, samples, prepare=prepared, how=how)
    save_all(folder, made.values())
    missing = unreached(bundle, samples)
    done = [_row(each, given.method, how.record.stages) for each in made.values()]
    if given.json:
        show_json(
            {
                "folder": str(folder),
                "set": samples.digest,
                "method": given.method,
                "parts": list(map(asdict, done)),
                "unreached": missing,
            }
        )
    else:
        show(f"{printable(str(folder))}: ranges by {given.method}\n{_table(done)}")
    for part, modalities in missing.items():
        tell(f"{part}: no sample reached it; samples of {listed(modalities)} would")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="edgespark calibrate", description=__doc__)
    add_bundle(parser)
    parser.add_argument("--calibration", required=True, metavar="DIR", help="a calibration set")
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: in the bundle)")
    parser.add_argument(
        *("--method",),
        default=DEFAULT,
        metavar="M",
        help=f"by which ranges are shown: {', '.join(METHODS)}; all are gathered",
    )
    parser.add_argument("--samples", type=int, metavar="N", help="the first N of each modality")
    parser.add_argument("--threads", type=int, help="CPU threads of one run")
    return parser


def _check(given: Namespace) -> None:
    for name, most in (("samples", inf), ("threads", MOST_THREADS)):
        if getattr(given, name) is not None:
            check_count(f"--{name}", getattr(given, name), most)
    if given.method not in METHODS:
        known = ", ".join(METHODS)
        raise UsageError(
            f"no method {given.method!r}{near(given.method, METHODS)}; there are: {known}"
        )


def _inside(bundle: Bundle) -> Path:
    """Return where a bundle's own calibrations lie, which must not lead out of it."""
    folder = bundle.root / DERIVED / FOLDER
    if not folder.resolve().is_relative_to(bundle.root):
        raise OutputError(f"{folder}: leads out of the bundle; give a folder with --out")
    return folder


def _outside(bundle: Bundle, out: str) -> Path:
    """Return the folder that was asked for, which must not be among the bundle's own files."""
    if not out:  # pathlib takes it for the current folder
        raise UsageError("--out is empty; expected a folder")
    place = Path(os.path.realpath(out))
    if place.is_relative_to(bundle.root) and not place.is_relative_to(bundle.root / DERIVED):
        raise OutputError(f"{out}: is inside the bundle, which never changes; leave --out away")
    return Path(out)


def _row(made: PartCalibration, method: Method, stages: Mapping[str, float]) -> Row:
    """Return what was gathered for a part; its time is that of its runs, watching included."""
    ranges = {name: peak_of(held, method) for name, held in made.tensors.items()}
    widest = max(ranges, key=lambda name: ranges[name], default="")
    mine = (took for stage, took in stages.items() if made.part in _owners(stage))
    return Row(
        part=made.part,
        tensors=len(made.tensors),
        samples=sum(made.provenance.samples.values()),
        widest=ranges.get(widest, 0.0),
        tensor=widest,
        seconds=sum(mine) / 1e3,
    )


def _owners(stage: str) -> tuple[str, ...]:
    """Return what a stage may be of: `decoder.prefill` is of the decoder, `load.PART` of a part."""
    first, _, rest = stage.partition(".")
    return first, rest if first == "load" else first


def _table(done: Sequence[Row]) -> str:
    cells = [COLUMNS, *(each.cells() for each in done)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return printable("\n".join(line.rstrip() for line in lines), keep="\n")
