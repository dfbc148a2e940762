"""allspark-base: AllSpark's chain at sizes of real work, about half a billion parameters.

The sizes are those of published work: ViT-B/16 (arXiv 2010.11929) for colour images, a narrower one
for each of the other rasters, Point-BERT, STAEformer (PEMS08), TUTR (ETH) and TabFormer as their
public code has them, a LLaMA of 162 M parameters and Lynx's adapters. No weights belong to it.
"""

from dataclasses import replace
from typing import cast

from edgespark.export.models.config import (
    AllSparkConfig,
    Convolutional,
    FieldTransformer,
    Llama,
    Perceiver,
    PointTransformer,
    SeriesTransformer,
    Spectral,
    Task,
    TrackTransformer,
    Transformer,
    Video,
)
from edgespark.export.models.tiny import TINY
from edgespark.runtime.preprocessing import (
    FIRST,
    Band,
    Column,
    Frames,
    Imagery,
    Points,
    Preprocessing,
    Series,
    Table,
    Text,
    Tracks,
)

SIZE, PATCH = 224, 16  # pixels
SPECTRUM, CUBE = range(400, 2500, 10), 32  # nm, as EnMAP and PRISMA have them about; pixels
CELLS = Table(
    columns=tuple(
        Column(name=f"column {index}", type="number", edges=tuple(map(float, range(1, 80))))
        for index in range(12)
    ),
    rows=10,
)
TRACKS = Tracks(observed=8, predicted=12, step=0.4, agents=32, radius=50.0)
SERIES = Series(
    nodes=tuple(f"sensor {index}" for index in range(170)),
    steps=12,
    predicted=12,
    interval=300.0,
    mean=230.0,
    std=146.0,
    unit="vehicles per 5 minutes",
)
POINTS = Points(count=1024, groups=64, neighbours=32)


def raster(modality: str) -> Imagery:
    """Give the small model's bands of a sensor at this model's size."""
    return replace(cast("Imagery", TINY.records[modality]), rows=SIZE, columns=SIZE)


def cube() -> Imagery:
    """Give a hyperspectral record of 210 bands."""
    bands = tuple(
        Band(
            name=f"{centre} nm",
            wavelength=float(centre),
            scale=1e-4,
            low=0.0,
            high=1.6,
            mean=0.2,
            std=0.1,
        )
        for centre in SPECTRUM
    )
    return replace(raster("hsi"), bands=bands, rows=CUBE, columns=CUBE)


RECORDS: dict[str, Preprocessing] = {
    **{name: raster(name) for name in ("rgb", "sar", "msi", "infrared", "oblique")},
    "hsi": cube(),
    "video": Frames(count=5, frame=raster("rgb")),
    "point_cloud": POINTS,
    "table": CELLS,
    "trajectory": TRACKS,
    "graph": SERIES,
    "language": Text(max_tokens=1024),
    "code": Text(max_tokens=1024),
}


def narrow(modality: str) -> Transformer:
    """Give the vision transformer of a raster that is not rgb."""
    bands = len(raster(modality).bands)
    return Transformer(
        bands=bands, size=SIZE, patch=PATCH, width=512, depth=12, heads=8, hidden=2048
    )


VIT_B = Transformer(bands=3, size=SIZE, patch=PATCH, width=768, depth=12, heads=12, hidden=3072)
FORECASTS: dict[str, Task] = {
    "trajectory": replace(TINY.tasks["trajectory"], shape=(TRACKS.predicted, 2)),
    "graph": replace(
        TINY.tasks["graph"], shape=(SERIES.predicted, len(SERIES.nodes)), unit=SERIES.unit
    ),
}
BASE = AllSparkConfig(
    name="allspark-base",
    records=RECORDS,
    encoders={
        "rgb": VIT_B,
        "sar": Convolutional(bands=2, size=SIZE, widths=(64, 128, 256, 512)),
        "msi": narrow("msi"),
        "hsi": Spectral(
            bands=len(SPECTRUM), size=CUBE, group=7, width=384, depth=12, heads=6, hidden=1536
        ),
        "infrared": narrow("infrared"),
        "oblique": narrow("oblique"),
        "video": Video(of="rgb", frames=5, image=VIT_B),
        "point_cloud": PointTransformer(
            groups=POINTS.groups,
            neighbours=POINTS.neighbours,
            width=384,
            depth=12,
            heads=6,
            features=256,
        ),
        "table": FieldTransformer(
            vocabulary=FIRST + sum(column.ids for column in CELLS.columns),
            rows=CELLS.rows,
            columns=len(CELLS.columns),
            field=64,
            layers=1,
            heads=8,
            width=768,
        ),
        "trajectory": TrackTransformer(
            observed=TRACKS.observed,
            predicted=TRACKS.predicted,
            agents=TRACKS.agents,
            modes=50,
            width=128,
            heads=4,
            layers=2,
            expansion=2,
        ),
        "graph": SeriesTransformer(
            nodes=len(SERIES.nodes),
            steps=SERIES.steps,
            predicted=SERIES.predicted,
            value=24,
            day=24,
            week=24,
            adaptive=80,
            hidden=256,
            heads=4,
            layers=3,
            steps_per_day=288,
        ),
    },
    texts=("language", "code"),
    bridge=Perceiver(latents=32, depth=2, heads=8, head_dim=64, multiple=2),
    llm=Llama(
        vocabulary=32000,
        width=768,
        depth=12,
        heads=12,
        hidden=3072,
        context=2048,
        adapters=tuple(range(0, 12, 2)),
        bottleneck=384,
    ),
    prompts=TINY.prompts,
    tasks=TINY.tasks | FORECASTS,
    template=TINY.template,
)
