"""allspark-tiny: its sizes and its prompts; the weights lie in `weights/allspark-tiny`."""

from edgespark.export.models.config import (
    AllSparkConfig,
    Convolutional,
    Layout,
    Llama,
    Perceiver,
    Transformer,
)
from edgespark.export.worlds.covers import NAMES

TINY = AllSparkConfig(
    name="allspark-tiny",
    encoders={
        "rgb": Transformer(bands=3, size=64, patch=8, width=128, depth=2, heads=4, hidden=512),
        "msi": Transformer(bands=12, size=64, patch=8, width=128, depth=2, heads=4, hidden=512),
        "sar": Convolutional(bands=2, size=64, widths=(32, 64, 128)),
    },
    texts=("language",),
    bridge=Perceiver(latents=8, depth=2, heads=4, head_dim=32, multiple=2),
    llm=Llama(
        vocabulary=640,
        width=192,
        depth=4,
        heads=6,
        hidden=512,
        context=512,
        adapters=(0, 2),
        bottleneck=96,
    ),
    labels=NAMES,
    layout=Layout(
        modality={
            "rgb": "optical image:",
            "msi": "multispectral image:",
            "sar": "radar image:",
            "language": "field note:",
        },
        head="\nland cover:",
        template="\nuser: {prompt}\nbot:",
        question="What is in this scene?",
    ),
)
