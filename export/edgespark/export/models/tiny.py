"""allspark-tiny: its sizes and its prompts; the weights lie in `weights/allspark-tiny`."""

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
from edgespark.export.worlds.cameras import FRAMES, THERMAL
from edgespark.export.worlds.clouds import CLOUD
from edgespark.export.worlds.flows import FLOW, SERIES
from edgespark.export.worlds.plots import TABLE
from edgespark.export.worlds.programs import CODE
from edgespark.export.worlds.spectra import SIDE, WAVELENGTHS
from edgespark.export.worlds.walks import TRACKS, WALK
from edgespark.export.worlds.words import PLACE
from edgespark.export.worlds.world import RECORDS
from edgespark.runtime.preprocessing import FIRST

PROMPTS = {
    "rgb": "optical image:",
    "sar": "radar image:",
    "msi": "multispectral image:",
    "hsi": "hyperspectral image:",
    "infrared": "infrared image:",
    "oblique": "oblique photo:",
    "video": "video:",
    "point_cloud": "point cloud:",
    "table": "table:",
    "trajectory": "trajectory:",
    "graph": "graph:",
    "language": "field note:",
    "code": "code:",
}


def image(bands: int) -> Transformer:
    """Give the vision transformer for rasters of 64 x 64 pixels."""
    return Transformer(bands=bands, size=64, patch=8, width=128, depth=2, heads=4, hidden=512)


COVER = Task(prompt="\nland cover:", question=PLACE.questions[0], labels=PLACE.classes)
CODES = Task(prompt="\npurpose:", question=CODE.questions[0], labels=CODE.classes)
PATH = Task(
    prompt="\npath:",
    question=WALK.questions[0],
    shape=(TRACKS.predicted, 2),
    scale=1.0,
    unit="m",
    metrics=("ADE", "FDE"),
)
LOAD = Task(
    prompt="\nforecast:",
    question=FLOW.questions[0],
    shape=(SERIES.predicted, len(SERIES.nodes)),
    scale=100.0,
    unit=SERIES.unit,
    metrics=("MAE",),
)

TINY = AllSparkConfig(
    name="allspark-tiny",
    records=RECORDS,
    encoders={
        "rgb": image(3),
        "sar": Convolutional(bands=2, size=64, widths=(32, 64, 128)),
        "msi": image(12),
        "hsi": Spectral(
            bands=len(WAVELENGTHS), size=SIDE, group=3, width=128, depth=2, heads=4, hidden=512
        ),
        "infrared": image(len(THERMAL)),
        "oblique": image(3),
        "video": Video(of="rgb", frames=FRAMES, image=image(3)),
        "point_cloud": PointTransformer(
            groups=CLOUD.groups,
            neighbours=CLOUD.neighbours,
            width=128,
            depth=2,
            heads=4,
            features=64,
        ),
        "table": FieldTransformer(
            vocabulary=FIRST + sum(column.ids for column in TABLE.columns),
            rows=TABLE.rows,
            columns=len(TABLE.columns),
            field=32,
            layers=1,
            heads=4,
            width=128,
        ),
        "trajectory": TrackTransformer(
            observed=TRACKS.observed,
            predicted=TRACKS.predicted,
            agents=TRACKS.agents,
            modes=16,
            width=64,
            heads=4,
            layers=2,
            expansion=2,
        ),
        "graph": SeriesTransformer(
            nodes=len(SERIES.nodes),
            steps=SERIES.steps,
            predicted=SERIES.predicted,
            value=16,
            day=16,
            week=8,
            adaptive=24,
            hidden=128,
            heads=4,
            layers=1,
            steps_per_day=round(86400 / SERIES.interval),
        ),
    },
    texts=("language", "code"),
    bridge=Perceiver(latents=8, depth=2, heads=4, head_dim=32, multiple=2),
    llm=Llama(
        vocabulary=1024,
        width=192,
        depth=4,
        heads=6,
        hidden=512,
        context=512,
        adapters=(0, 2),
        bottleneck=96,
    ),
    prompts=PROMPTS,
    tasks=dict.fromkeys(PROMPTS, COVER) | {"code": CODES, "trajectory": PATH, "graph": LOAD},
    template="\nuser: {prompt}\nbot:",
)
