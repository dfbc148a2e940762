"""Ask a bundle about real scenes, and print what a land-cover map says of the same ground.

    python examples/land_cover.py BUNDLE FOLDER

FOLDER holds one folder per place with S2RGB.tif, S2L2A.tif, S1RTC.tif and LULC.tif, as TerraMesh
has them. allspark-tiny knows synthetic scenes only: the table shows that the chain runs, not that
it is right.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import rasterio

from edgespark.runtime import Spark, load

FILES = {"rgb": "S2RGB.tif", "msi": "S2L2A.tif", "sar": "S1RTC.tif"}
# Esri's land-cover classes, numbered without gaps from 1 on. That is inferred from the maps (a
# place that is snow all over says 7), not read from a description of the data set.
COVERS = (
    "none",
    "water",
    "trees",
    "flooded vegetation",
    "crops",
    "built area",
    "bare ground",
    "snow",
    "clouds",
    "rangeland",
)


def mapped(path: Path) -> str:
    """Name the covers of a map with their shares of the ground, largest first."""
    with rasterio.open(path) as file:
        values, counts = np.unique(file.read(1), return_counts=True)
    shares = sorted(zip(counts / counts.sum(), values.tolist(), strict=True), reverse=True)
    return ", ".join(f"{COVERS[value]} {share:.0%}" for share, value in shares)


def rows(spark: Spark, place: Path) -> list[str]:
    """Ask about one place through every subset of its sensors."""
    made = []
    for count in range(1, len(FILES) + 1):
        for names in itertools.combinations(FILES, count):
            given: dict[str, object] = {name: place / FILES[name] for name in names}
            answer = spark.generate("What is in this scene?", **given)  # type: ignore[call-overload] # keywords by name
            label, p = next(iter(spark.classify(**given).items()))
            made.append(f"| {' + '.join(names)} | {answer} | {label} {p:.2f} |")
    return made


def main(bundle: str, folder: str) -> None:
    """Print a Markdown table per place."""
    spark = load(bundle)
    for place in sorted(Path(folder).iterdir()):
        if (place / "LULC.tif").is_file():
            head = [f"{place.name}: {mapped(place / 'LULC.tif')}", ""]
            table = ["| sensors | answer | head |", "|---|---|---|", *rows(spark, place), ""]
            sys.stdout.write("\n".join([*head, *table]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 the script, BUNDLE and FOLDER
        sys.exit(__doc__)
    main(*sys.argv[1:])
