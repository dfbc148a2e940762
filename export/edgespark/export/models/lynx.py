"""Lynx at its own sizes: EVA-ViT-g, the bridge, Vicuna-7B with adapters; about 8 B parameters.

Sizes and colour statistics are those of the public code and its configuration (bytedance/lynx-llm
at 24680d1, configs/LYNX.yaml; arXiv 2307.02469), the LLM's those of Vicuna-7B v1.1. Lynx has no
task heads, and says nothing of ground resolution.
"""

from edgespark.export.models.config import (
    AllSparkConfig,
    Llama,
    Perceiver,
    Transformer,
    Video,
)
from edgespark.runtime.preprocessing import Band, Frames, Imagery, Preprocessing, Text

SIZE, PATCH, FRAMES = 420, 14, 5
COLOURS = (
    ("red", 0.48145466, 0.26862954),
    ("green", 0.4578275, 0.26130258),
    ("blue", 0.40821073, 0.27577711),
)
NEAREST, FURTHEST = 1e-4, 1e4  # metres per pixel: any
MOST_TEXT = 1024  # tokens of a text that is a modality; the rest of the context is the prompt's
IMAGE = Imagery(
    bands=tuple(
        Band(name=name, scale=1 / 255, low=0.0, high=1.0, mean=mean, std=std)
        for name, mean, std in COLOURS
    ),
    rows=SIZE,
    columns=SIZE,
    dtypes=("uint8",),
    unit="display value 0…1",
    min_valid=0.25,
    gsd_low=NEAREST,
    gsd_high=FURTHEST,
)
RECORDS: dict[str, Preprocessing] = {
    "rgb": IMAGE,
    "video": Frames(count=FRAMES, frame=IMAGE),
    "language": Text(max_tokens=MOST_TEXT),
}
EVA = Transformer(bands=3, size=SIZE, patch=PATCH, width=1408, depth=39, heads=16, hidden=6144)
LYNX = AllSparkConfig(
    name="allspark-7b",
    records=RECORDS,
    encoders={"rgb": EVA, "video": Video(of="rgb", frames=FRAMES, image=EVA)},
    texts=("language",),
    bridge=Perceiver(latents=32, depth=3, heads=8, head_dim=64, multiple=4),
    llm=Llama(
        vocabulary=32000,
        width=4096,
        depth=32,
        heads=32,
        hidden=11008,
        context=2048,
        adapters=tuple(range(0, 32, 2)),
        bottleneck=2048,
    ),
    prompts=dict.fromkeys(RECORDS, ""),
    tasks={},
    template="user: {prompt}\nbot:",
)
