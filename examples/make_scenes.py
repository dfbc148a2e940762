"""Write the example files: one held-out sample of the synthetic world, in the formats people have.

    python examples/make_scenes.py FOLDER

Ten files show one place, the others a program, a walk among others, and an evening's traffic.
truth.json says what is true of each; what came after the walk and the traffic is told there only.
Where and when it all was is made up (UTM zone 33 N, a week in June 2024), so that the files have a
grid and a calendar as real ones do.
"""

import csv
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import laspy  # type: ignore[import-untyped] # no types ship
import networkx as nx  # type: ignore[import-untyped] # no types ship
import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from edgespark.export.worlds.flows import EDGES, INTERVAL, NODES
from edgespark.export.worlds.ground import METRES, SIZE
from edgespark.export.worlds.plots import TABLE
from edgespark.export.worlds.walks import TRACKS
from edgespark.export.worlds.world import ASKED, RECORDS, SUBJECTS, Sample, sample
from edgespark.runtime.preprocessing import Imagery

STREAM, INDEX = 5, 57
EAST, NORTH = 500_000, 5_800_000  # metres, of the upper left corner
MONDAY = datetime(2024, 6, 3)  # noqa: DTZ001 local time, as road sensors tell it
RATE = 5  # frames a second
MILLIMETRE = 0.001
Raw: TypeAlias = NDArray[Any]


def main(folder: Path) -> None:
    """Write a file for each modality, the roads that the traffic is on, and truth.json."""
    folder.mkdir(parents=True, exist_ok=True)
    made = sample(STREAM, INDEX)
    for modality, (name, write) in FILES.items():
        write(folder / name, made.raw[modality])
    roads(folder / "roads.graphml")
    told = {modality: truth(made, modality) for modality in FILES}
    (folder / "truth.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def truth(made: Sample, modality: str) -> dict[str, object]:
    """Say the right answer, the class, and, for a forecast, what came."""
    asked = ASKED[modality]
    label = made.label[asked]
    told: dict[str, object] = {
        "answer": SUBJECTS[asked].told(label),
        "label": SUBJECTS[asked].classes[label],
    }
    if modality in made.target:
        told["target"] = made.target[modality].round(3).tolist()
    return told


def raster(modality: str) -> Callable[[Path, Raw], None]:
    """Give the writer of a GeoTIFF that names its bands, and their wavelengths where it has any."""
    record = cast("Imagery", RECORDS[modality])

    def write(path: Path, raw: Raw) -> None:
        metres = METRES * SIZE / raw.shape[2]
        profile = {
            "driver": "GTiff",
            "count": len(record.bands),
            "height": raw.shape[1],
            "width": raw.shape[2],
            "dtype": raw.dtype,
            "crs": "EPSG:32633",
            "transform": rasterio.Affine(metres, 0, EAST, 0, -metres, NORTH),
            "compress": "deflate",
        }
        with rasterio.open(path, "w", **profile) as file:
            file.write(raw)
            file.descriptions = [band.name for band in record.bands]
            for number, band in enumerate(record.bands, 1):
                if band.wavelength is not None:
                    file.update_tags(number, wavelength=band.wavelength, wavelength_units="nm")

    return write


def photograph(path: Path, raw: Raw) -> None:
    """Write a JPEG from [3, rows, columns]."""
    Image.fromarray(np.moveaxis(raw, 0, -1)).save(path, quality=95, subsampling=0)


def video(path: Path, raw: Raw) -> None:
    """Write an H.264 video in an MP4 file from [frames, 3, rows, columns]."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", RATE, options={"crf": "4", "preset": "veryslow"})
        stream.height, stream.width = raw.shape[2:]
        stream.pix_fmt = "yuv444p"  # what half the colours lose shows at 64 pixels
        for image in raw:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def cloud(path: Path, raw: Raw) -> None:
    """Write a LAZ file from x, y and z in metres [points, 3], beside the rasters' lower corner."""
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.offsets = np.array([EAST, NORTH - SIZE * METRES, 0])
    header.scales = np.full(3, MILLIMETRE)
    file = laspy.LasData(header)
    file.x, file.y, file.z = (raw + header.offsets).T
    file.write(path)


def table(path: Path, raw: Raw) -> None:
    """Write the sample plots as CSV; an empty cell was not filled in."""
    rows(path, [[column.name for column in TABLE.columns], *raw.tolist()])


def text(path: Path, raw: Raw) -> None:
    """Write a text as it is."""
    path.write_text(f"{raw}\n", "utf-8")


def walk(path: Path, raw: Raw) -> None:
    """Write tracks [agents, steps, 2] as CSV; agents are numbered from 1, the one that is meant."""
    fixes = [
        [f"{step * TRACKS.step:.1f}", agent, f"{x:.3f}", f"{y:.3f}"]
        for step, positions in enumerate(raw.swapaxes(0, 1))
        for agent, (x, y) in enumerate(positions, 1)
        if np.isfinite(x)
    ]
    rows(path, [["time", "id", "x", "y"], *fixes])


def traffic(path: Path, raw: Raw) -> None:
    """Write a series [steps, nodes, 3] as CSV, a column for each road sensor."""
    time, day = raw[0, 0, 1:].tolist()
    begin = MONDAY + timedelta(days=day + time)
    times = [begin + timedelta(seconds=INTERVAL * step) for step in range(len(raw))]
    flows = [[f"{value:.1f}" for value in values] for values in raw[..., 0]]
    steps = [[moment.isoformat(), *cells] for moment, cells in zip(times, flows, strict=True)]
    rows(path, [["time", *NODES], *steps])


def rows(path: Path, cells: list[list[Any]]) -> None:
    """Write CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)


def roads(path: Path) -> None:
    """Write the road network as GraphML, from each sensor to the next one downstream."""
    graph = nx.DiGraph(EDGES)
    nx.write_graphml_xml(graph, path)


FILES: dict[str, tuple[str, Callable[[Path, Raw], None]]] = {
    "rgb": ("scene-rgb.tif", raster("rgb")),
    "msi": ("scene-msi.tif", raster("msi")),
    "sar": ("scene-sar.tif", raster("sar")),
    "hsi": ("scene-hsi.tif", raster("hsi")),
    "infrared": ("scene-infrared.tif", raster("infrared")),
    "oblique": ("scene-oblique.jpg", photograph),
    "video": ("scene-video.mp4", video),
    "point_cloud": ("scene-points.laz", cloud),
    "table": ("scene-plots.csv", table),
    "language": ("scene.txt", text),
    "code": ("program.py", text),
    "trajectory": ("walk.csv", walk),
    "graph": ("traffic.csv", traffic),
}

if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 the script and FOLDER
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
