"""OneLLM's routes and language: what each modality takes, and how a prompt is laid out."""

from collections.abc import Callable
from functools import partial

from tokenizers import Tokenizer

from edgespark.export.models.onellm.config import OneLLMConfig
from edgespark.runtime.errors import InputError
from edgespark.runtime.generation import Generation
from edgespark.runtime.manifest import File, Language, Route, Wire
from edgespark.runtime.preprocessing import Preprocessing
from edgespark.runtime.sensory import (
    Clips,
    ColouredPoints,
    Fbank,
    Motion,
    Picture,
    PicturePair,
    Voxels,
)
from edgespark.runtime.starts import starts

PICTURE = Picture(
    size=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
RECORDS: dict[str, Preprocessing] = {
    "image": PICTURE,
    "video": Clips(clips=5, seconds=1.0, crops=3, picture=PICTURE),
    "audio": Fbank(rate=16000, mels=128, frames=1024, mean=-4.2677393, std=4.5689974),
    "point": ColouredPoints(count=8192, groups=1024, neighbours=32),
    "rgbd": PicturePair(picture=PICTURE, second="depth map"),
    "rgbn": PicturePair(picture=PICTURE, second="normal map"),
    "fmri": Voxels(count=15724),
    "imu": Motion(
        channels=("accl_x", "accl_y", "accl_z", "gyro_x", "gyro_y", "gyro_z"),
        rate=200.0,
        samples=400,
    ),
}
QUESTIONS = {
    "image": "What is in this image?",
    "video": "What happens in this video?",
    "audio": "What is to be heard?",
    "point": "What is this object?",
    "rgbd": "What is in this scene?",
    "rgbn": "What is in this scene?",
    "fmri": "What does the person see?",
    "imu": "What is the person doing?",
}
TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions.\n\n"
    "###Human: {prompt}\n###Assistant:"
)
BEGIN, END = "<s>", "</s>"
REWOUND = 2  # the released code counts 30 of the 32 positions that a modality takes


def route(modality: str) -> Route:
    """Wire a modality through its tokenizer, the trunk, its projection, the experts, its bridge."""
    record = RECORDS[modality]
    first, projection, bridge = (
        f"{each}_{modality}" for each in ("encoder", "projection", "bridge")
    )
    wires = [Wire(source=each.name, target=f"{first}.{each.name}") for each in starts(record)]
    hops = {
        first: "trunk.media",
        "trunk": f"{projection}.media",
        projection: "experts.media",
        "experts": f"{bridge}.media",
    }
    wires += [Wire(source=f"{source}.tokens", target=target) for source, target in hops.items()]
    return Route(
        modality=modality,
        preprocessing=record,
        wires=tuple(wires),
        output=f"{bridge}.tokens",
        prompt="",
        question=QUESTIONS[modality],
    )


def language(config: OneLLMConfig, tokenizer: Tokenizer) -> Callable[[File], Language]:
    """Describe the LLM's side, given where the tokenizer lies; InputError where it lacks an end."""
    ids = {name: tokenizer.token_to_id(name) for name in (BEGIN, END)}
    if missing := [name for name, found in ids.items() if found is None]:
        raise InputError(f"the tokenizer has no token {' and no '.join(missing)}")
    return partial(_language, config.llm.context, ids)


def _language(context: int, ids: dict[str, int], tokenizer: File) -> Language:
    return Language(
        tokenizer=tokenizer,
        embedder="embedder",
        decoder="decoder",
        context=context,
        begin=(ids[BEGIN],),
        end=(ids[END],),
        template=TEMPLATE,
        question="What is this?",
        stop=("###",),
        generation=Generation(max_tokens=128, temperature=0.1, top_p=0.75),
        decodings={"released": REWOUND},
    )
