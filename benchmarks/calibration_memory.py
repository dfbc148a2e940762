r"""Whether calibration takes the same memory whatever the size of its set.

    python benchmarks/calibration_memory.py build/tiny --samples 32 --rounds 3

Two sets are made of allspark-tiny's world, one with --samples of each modality and one with ten
times as many: arrays in .npy files, and msi as windows of one GeoTIFF. `edgespark calibrate` runs
on each in a process of its own, small and large in turns, once to warm the disk and then --rounds
times. Measured, ten times a second, is what the process alone can give back: anonymous and shared
resident memory (`command_memory.py`, Linux only); file pages, which the kernel takes back when it
needs them, stand beside it. Making the sets is not measured. The last line is one JSON document;
the exit code is 5 where the medians differ by more than a tenth.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.set_manifest import Item, Items, Modality, Rows
from edgespark.calibration.sets import write_set
from edgespark.export.calibration_set import STREAM
from edgespark.export.models.tiny import TINY
from edgespark.export.recipes.allspark import samples
from edgespark.export.worlds.dataset import Samples, make
from edgespark.runtime.errors import EdgesparkError
from edgespark.runtime.options import check_count
from edgespark.runtime.progress import track

LARGER = 10
TOLERANCE = 0.1
MOST = 10_000  # of samples, and of rounds
RASTER = "msi"
ACROSS = 16  # windows side by side in the GeoTIFF
METER = Path(__file__).with_name("command_memory.py")
COMMAND = "from edgespark.runtime.cli import main; raise SystemExit(main())"
SIZES = ("small", "large")


def write(folder: Path, count: int, modalities: Sequence[str]) -> None:
    """Write a set with so many samples of each modality."""
    drawn = make(STREAM, 0, count)
    write_set(folder, {each: _written(folder, each, drawn) for each in modalities})


def _written(folder: Path, modality: str, drawn: Samples) -> Modality:
    columns = samples(TINY, drawn, modality).columns()
    if modality == RASTER:
        return Items(items=_windows(folder / f"{modality}.tif", columns["input"]))
    (folder / modality).mkdir(parents=True)
    for name, column in columns.items():
        np.save(folder / modality / f"{name}.npy", column, allow_pickle=False)
    return Rows(folder=modality)


def _windows(path: Path, images: NDArray[np.generic]) -> tuple[Item, ...]:
    """Lay images [n, bands, rows, columns] side by side in one GeoTIFF, a window for each."""
    count, bands, rows, columns = images.shape
    corners = [(k % ACROSS * columns, k // ACROSS * rows) for k in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {
        "width": min(count, ACROSS) * columns,
        "height": -(-count // ACROSS) * rows,
        "count": bands,
        "dtype": images.dtype,
    }
    rasterio = import_module("rasterio")
    place = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)  # metres a pixel, and the corner
    tiles = {"tiled": True, "blockxsize": columns, "blockysize": rows}
    with rasterio.open(path, "w", driver="GTiff", transform=place, **shape, **tiles) as file:
        for image, (column, row) in zip(images, corners, strict=True):
            file.write(image, window=rasterio.windows.Window(column, row, columns, rows))
    return tuple(
        Item(path=path.name, options={"window": f"{column},{row},{columns},{rows}"})
        for column, row in corners
    )


def peak(bundle: str, folder: Path, out: Path) -> dict[str, float]:
    """Calibrate in a process of its own; return its peaks in gigabytes, and its seconds."""
    python = [sys.executable, "-c", COMMAND]
    calibrate = ["calibrate", bundle, "--calibration", str(folder), "--out", str(out)]
    made = subprocess.run(  # noqa: S603 our own command
        [sys.executable, str(METER), *python, *calibrate], check=False, capture_output=True
    )
    if made.returncode:
        raise SystemExit(f"{' '.join(calibrate)} failed:\n{made.stderr.decode()}")
    report = json.loads(made.stdout.decode().splitlines()[-1])
    return {**report["peak_gb"], "seconds": report["seconds"]}


def run(given: argparse.Namespace) -> int:
    """Measure both sets in turns, and print the peaks; 5 where they are not alike."""
    check_count("--samples", given.samples, MOST)
    check_count("--rounds", given.rounds, MOST)
    load, found = os.getloadavg()[0], {name: list[dict[str, float]]() for name in SIZES}
    counts = {"small": given.samples, "large": given.samples * LARGER}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name, count in counts.items():
            write(root / name, count, given.modalities)
        turns = [(turn, name) for turn in range(given.rounds + 1) for name in SIZES]
        with track(turns, "calibrate", len(turns)) as shown:
            for turn, name in shown:
                peaks = peak(given.bundle, root / name, root / f"{name}.{turn}")
                if turn:
                    found[name].append(peaks)
    held = {name: median(each["anonymous_and_shared"] for each in found[name]) for name in SIZES}
    ratio = held["large"] / held["small"]
    for name in SIZES:
        each = [f"{row['anonymous_and_shared']:.3f}" for row in found[name]]
        print(f"{counts[name]:5} samples: {held[name]:.3f} GB ({', '.join(each)})")
    print(f"ratio {ratio:.3f}")
    report = {
        "samples": counts,
        "modalities": given.modalities,
        "peak_gb": held,
        "ratio": round(ratio, 3),
        "runs": found,
        "cores": os.cpu_count(),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(report))
    return 5 if abs(ratio - 1) > TOLERANCE else 0


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", help="a bundle of allspark-tiny")
    parser.add_argument(
        "--samples", type=int, default=32, help="of each modality, in the small set"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        *("--modalities",), type=lambda text: text.split(","), default=list(TINY.prompts)
    )
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
