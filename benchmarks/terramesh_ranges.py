r"""How INT8 ranges move on real imagery: calibrated at two places, judged at the third.

    python benchmarks/terramesh_ranges.py build/tiny ../shared/data/terramesh \
        --synthetic calibration-set --json docs/results/terramesh-ranges.json

Each place is a folder with S2RGB.tif (rgb), S2L2A.tif (msi) and S1RTC.tif (sar). Of each, windows
of 64 pixels are drawn by seed, one after the other from the strata of a grid; half of them are
calibrated on, half are judged on, and windows of both halves may overlap. Each place is held out
once. Calibrated are, by each method: the other two places; the held-out place itself; and, where
`--synthetic` gives one, a calibration set such as allspark-tiny's own. From each, encoder, bridge
and head become INT8 graphs; embedder and LLM stay fp32.

Told is, per tensor that a product reads, over all held-out places: the greatest magnitude on the
judged windows over the calibrated range (median and worst), and the share of values beyond that
range (mean and worst), both without what smoothing changes; and of the INT8 chain, beside fp32's on
the same windows: how many of the heads' answers and of the greedy answers are the same, and the
end-to-end error in standard deviations, at the worst place. Nothing is timed, and nothing is right
or wrong: the bundle never saw such imagery. The last line is one JSON document.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import destination, publish, stamp  # noqa: E402 found by the line above
from edgespark.calibration.chain import SampleSource, Swap, passed, reference_graph  # noqa: E402
from edgespark.calibration.gather import gather  # noqa: E402
from edgespark.calibration.judge import Judge, Terms  # noqa: E402
from edgespark.calibration.methods import METHODS, peak_of  # noqa: E402
from edgespark.calibration.ranges import PartCalibration  # noqa: E402
from edgespark.calibration.sampling import windows  # noqa: E402
from edgespark.calibration.sets import CalibrationSet, Sample  # noqa: E402
from edgespark.calibration.statistics import Method, Statistics  # noqa: E402
from edgespark.calibration.windows import Ground, room_of  # noqa: E402
from edgespark.engines.int8 import Int8, quantised  # noqa: E402
from edgespark.engines.passes.prepare import prepared  # noqa: E402
from edgespark.runtime.bundle import Bundle  # noqa: E402
from edgespark.runtime.errors import EdgesparkError, InputError, UsageError  # noqa: E402
from edgespark.runtime.grid import Raster, Window  # noqa: E402
from edgespark.runtime.options import check_count  # noqa: E402
from edgespark.runtime.progress import track  # noqa: E402

FILES = {"rgb": "S2RGB.tif", "msi": "S2L2A.tif", "sar": "S1RTC.tif"}
SIDE = 64  # pixels of a window
VALID = 0.9  # of a window's samples
MOST = 1000  # windows of a place, and tokens
ROLES = ("encoder", "bridge", "head")
Made = dict[str, PartCalibration]


@dataclass(frozen=True, slots=True)
class Views:
    """Samples in memory; `digest` covers all that they depend on."""

    digest: str
    held: Mapping[str, Sequence[Sample]]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that there are samples of."""
        return tuple(self.held)

    def count(self, modality: str) -> int:
        """Count a modality's samples."""
        return len(self.held[modality])

    def samples(self, modality: str) -> Iterator[Sample]:
        """Give a modality's samples."""
        return iter(self.held[modality])


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What became of one modality at one held-out place, by one set and method."""

    held_out: str
    modality: str
    calibrated_on: str
    method: Method
    ratio_median: float
    ratio_worst: float
    beyond_mean: float
    beyond_worst: float
    head: float
    answer: float
    error: float


def views(places: Sequence[Path], count: int, seed: int, half: int) -> Views:
    """Take every second one of 2 * `count` windows of each place, from number `half` on."""
    found = {
        modality: [
            Sample(value=Raster(place / name, window=window), where=f"{place.name}/{name} {window}")
            for place in places
            for window in drawn(place / name, 2 * count, seed)[half::2]
        ]
        for modality, name in FILES.items()
    }
    files = [place / name for place in places for name in FILES.values()]
    told = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    told += [each.where for samples in found.values() for each in samples]
    return Views(hashlib.sha256("\n".join(told).encode()).hexdigest(), found)


def drawn(path: Path, count: int, seed: int) -> list[Window]:
    """Draw windows of a raster, each stratum's in turn; InputError where there are too few."""
    ground = Ground(least=VALID)
    valid: Callable[[Window], bool] = lambda window: ground.suits(path, window)  # noqa: E731
    found = list(islice(windows(room_of(path, SIDE), count, valid, seed, path.name), count))
    if len(found) < count:
        raise InputError(f"{path}: has {len(found)} valid windows of {SIDE} pixels, not {count}")
    return found


def served(bundle: Bundle, modality: str) -> tuple[str, ...]:
    """Return a modality's encoder, bridge and head."""
    manifest = bundle.manifest
    names = passed(manifest, manifest.route(modality))
    return tuple(each for each in names if manifest.part(each).role in ROLES)


def int8_graphs(bundle: Bundle, made: Made, method: Method) -> dict[str, Swap]:
    """Make INT8 graphs of the modalities' encoders, bridges and heads."""
    found = {}
    for name in dict.fromkeys(part for modality in FILES for part in served(bundle, modality)):
        path = bundle.verified(reference_graph(bundle.manifest.part(name)).file)
        graph, _ = quantised(onnx.load(path), made[name], Int8(method=method))
        found[name] = Swap(graph=graph.SerializeToString())
    return found


def beyond(held: Statistics, peak: float) -> float:
    """Return the share of a tensor's values that a range does not hold, whole bins alone."""
    if held.width == 0 or peak >= held.width:
        return 0.0
    first = int(np.ceil(peak / held.width * len(held.histogram)))
    return float(held.histogram[first:].sum() / held.histogram.sum())


def ranges(
    names: Sequence[str], own: Made, made: Made, method: Method
) -> tuple[float, float, float, float]:
    """Compare tensors with their calibrated ranges: peaks over them, and shares beyond them."""
    ratios, shares = list[float](), list[float]()
    for part in names:
        for name, held in own[part].tensors.items():
            peak = peak_of(made[part].tensors[name], method)
            if held.peak or peak:
                ratios.append(held.peak / peak if peak else float("inf"))
                shares.append(beyond(held, peak))
    return float(np.median(ratios)), max(ratios), float(np.mean(shares)), max(shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One held-out place: what to judge on, its own statistics, and what was calibrated on."""

    place: str
    judge: Judge
    own: Made
    made: Mapping[str, Made]


def trials(bundle: Bundle, given: argparse.Namespace) -> Iterator[Trial]:
    """Hold out one place after the other."""
    places = sorted(each for each in given.places.iterdir() if each.is_dir())
    if len(places) < 2:
        raise InputError(f"{given.places}: has {len(places)} places; expected two or more folders")
    synthetic: dict[str, Made] = {}
    if given.synthetic:
        whole, most = CalibrationSet.open(given.synthetic), given.windows * 2
        chosen = {name: list(islice(whole.samples(name), most)) for name in FILES}
        synthetic["synthetic"] = gathered(bundle, Views(whole.digest, chosen))
    for place in places:
        others = [each for each in places if each != place]
        judged = views([place], given.windows, given.seed, 1)
        yield Trial(
            place=place.name,
            judge=Judge(bundle, judged, Terms(tokens=given.tokens)),
            own=gathered(bundle, judged),
            made={
                "other places": gathered(bundle, views(others, given.windows, given.seed, 0)),
                "same place": gathered(bundle, views([place], given.windows, given.seed, 0)),
                **synthetic,
            },
        )


def gathered(bundle: Bundle, samples: SampleSource) -> Made:
    """Gather what the tensors of the prepared graphs hold on the samples."""
    return gather(bundle, samples, prepare=prepared)


def judged(bundle: Bundle, trial: Trial, source: str, method: Method) -> Iterator[Moved]:
    """Tell what became of each modality at a held-out place."""
    made = trial.made[source]
    verdict = trial.judge(int8_graphs(bundle, made, method))
    score = {(each.modality, each.task): each.value for each in verdict.scores}
    for modality in FILES:
        median, worst, mean, most = ranges(served(bundle, modality), trial.own, made, method)
        yield Moved(
            held_out=trial.place,
            modality=modality,
            calibrated_on=source,
            method=method,
            ratio_median=median,
            ratio_worst=worst,
            beyond_mean=mean,
            beyond_worst=most,
            head=score[modality, "head"],
            answer=score[modality, "answer"],
            error=verdict.errors[modality],
        )


def table(found: Sequence[Moved]) -> Iterator[str]:
    """Write a row for each modality, set and method, over all held-out places."""
    yield (
        f"{'':4} {'calibrated on':13} {'method':10} {'peak/range':>12} {'worst':>6} "
        f"{'beyond %':>9} {'worst':>7} {'head':>6} {'answer':>6} {'error':>6}"
    )
    rows = dict.fromkeys((each.modality, each.calibrated_on, each.method) for each in found)
    for row in rows:
        same = [each for each in found if (each.modality, each.calibrated_on, each.method) == row]
        yield (
            f"{row[0]:4} {row[1]:13} {row[2]:10} "
            f"{np.median([each.ratio_median for each in same]):12.3f} "
            f"{max(each.ratio_worst for each in same):6.2f} "
            f"{100 * np.mean([each.beyond_mean for each in same]):9.4f} "
            f"{100 * max(each.beyond_worst for each in same):7.3f} "
            f"{100 * np.mean([each.head for each in same]):6.1f} "
            f"{100 * np.mean([each.answer for each in same]):6.1f} "
            f"{max(each.error for each in same):6.3f}"
        )


def run(given: argparse.Namespace) -> int:
    """Hold out every place, print the table and write the document: an exit code."""
    check_count("--windows", given.windows, MOST)
    check_count("--tokens", given.tokens, MOST)
    if unknown := sorted(set(given.methods) - set(METHODS)):
        raise UsageError(f"no method {', '.join(unknown)}; there are: {', '.join(METHODS)}")
    bundle, found = Bundle.open(given.bundle), list[Moved]()
    for trial in trials(bundle, given):
        work = [(source, method) for source in trial.made for method in given.methods]
        with track(work, trial.place, len(work)) as shown:
            for source, method in shown:
                found += judged(bundle, trial, source, method)
    print("\n".join(table(found)))
    report = {
        "bundle": bundle.manifest.name,
        "sha256": bundle.manifest.sha256,
        "windows": given.windows,
        "side": SIDE,
        "seed": given.seed,
        **stamp(),
        **bundle.manifest.evidence.versions,
        "rows": [asdict(each) for each in found],
    }
    return publish(report, given.json)


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("places", type=Path, help="a folder with one folder for each place")
    parser.add_argument("--synthetic", type=Path, help="a calibration set to compare with")
    parser.add_argument("--windows", type=int, default=24, help="per place and half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=8, help="of each answer")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--json", type=destination, help="where to keep the last line as well")
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
