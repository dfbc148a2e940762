"""Write the example GeoTIFFs: one synthetic scene as three sensors see it, and a walker's note.

    python examples/make_scenes.py FOLDER

Where on Earth the scene lies is made up (UTM zone 33 N), so that the files have a grid as real
ones do.
"""

import sys
from pathlib import Path

import rasterio
from rasterio.transform import from_origin

from edgespark.export.worlds.covers import SENTINEL_1, SENTINEL_2
from edgespark.export.worlds.scenes import METRES, scene
from edgespark.export.worlds.words import note

STREAM, INDEX = 5, 7
BANDS = {"rgb": ("red", "green", "blue"), "msi": SENTINEL_2, "sar": SENTINEL_1}


def main(folder: Path) -> None:
    """Write scene-rgb.tif, scene-msi.tif, scene-sar.tif and scene.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    made = scene(STREAM, INDEX)
    for modality, bands in BANDS.items():
        raster = getattr(made, modality)
        profile = {
            "driver": "GTiff",
            "count": len(bands),
            "height": raster.shape[1],
            "width": raster.shape[2],
            "dtype": raster.dtype,
            "crs": "EPSG:32633",
            "transform": from_origin(500000, 5800000, METRES, METRES),
            "compress": "deflate",
        }
        with rasterio.open(folder / f"scene-{modality}.tif", "w", **profile) as file:
            file.write(raster)
            file.descriptions = bands
    (folder / "scene.txt").write_text(note(STREAM, INDEX, made.shares) + "\n", "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 the script and FOLDER
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
