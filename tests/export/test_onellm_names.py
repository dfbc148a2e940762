"""OneLLM's checkpoint: its tensors, and what of them each part is made of."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgespark.export.models.onellm.config import ONELLM, OneLLMConfig
from edgespark.export.models.onellm.names import PREFIX, checkpoint_shapes, parts, unused
from edgespark.export.models.onellm.sources import filled, sources
from edgespark.runtime.errors import InputError
from tests.export.small_onellm import SHAPES, SMALL, tensor
from tests.golden.case import read as read_case
from tests.golden.onellm import sizes

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


def test_a_checkpoint_has_the_tensors_of_the_release() -> None:
    shapes = checkpoint_shapes(ONELLM)
    assert len(shapes) == 940
    assert sum(math.prod(shape) for shape in shapes.values()) == 7_597_224_217


@pytest.mark.parametrize("config", [ONELLM, SMALL], ids=lambda config: config.name)
def test_every_tensor_is_of_some_part_or_known_as_unused(config: OneLLMConfig) -> None:
    found = [sources(config, part) for part in parts(config)]
    used = {name for part in found for source in part.values() for name in source.names}
    assert used == {name for name in checkpoint_shapes(config) if not unused(name)}


def test_just_seven_tensors_are_unused() -> None:
    assert sorted(filter(unused, SHAPES)) == [
        "clip.ln_final.bias",
        "clip.ln_final.weight",
        "clip.logit_scale",
        "clip.positional_embedding",
        "clip.text_projection",
        "clip.token_embedding.weight",
        "clip.visual.proj",
    ]


@pytest.mark.parametrize(
    "name", [*(f"onellm/{each}" for each in (*ONELLM.modalities, "llm")), "onellm_small/point"]
)
def test_names_and_shapes_are_those_of_the_public_code(name: str) -> None:
    if not (GOLDEN / name / "spec.json").is_file():
        pytest.skip(f"no golden case at ../shared/golden/{name}")
    case = read_case(GOLDEN / name)
    known = {PREFIX + each: shape for each, shape in checkpoint_shapes(sizes(case)).items()}
    assert {each: tuple(shape) for each, shape in case.shapes().items()}.items() <= known.items()


def test_a_tensor_of_another_shape_is_named() -> None:
    def wrong(name: str) -> Tensor:
        return torch.zeros(3) if name == "clip.visual.ln_pre.bias" else tensor(name)

    with pytest.raises(InputError, match=r"trunk.*\n?.*ln_pre\.bias"):
        filled(SMALL, "trunk", wrong)
