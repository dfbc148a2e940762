"""OneLLM's greedy answers, of one modality and of two in one prompt, beside PyTorch's.

The paper speaks of audio and video in one prompt; the released code never did it.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.onellm.sources import filled
from edgespark.export.recipes.onellm_routes import TEMPLATE
from edgespark.runtime import Spark, load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.prepared import Prepared
from tests.export.onellm_on_disk import SMALL, tensors, tokenizer

STEPS = 12
QUESTION = "What is it?"
WEIGHTS = {name.removeprefix("llma."): each for name, each in tensors().items()}


def drawn(modality: str) -> Tensor:
    shape = {"image": (1, 3, 224, 224), "imu": (1, 6, 400), "rgbd": (1, 2, 3, 224, 224)}[modality]
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(modality)))


def prepared(modality: str) -> Prepared:
    name = {"image": "pixels", "imu": "signal", "rgbd": "frames"}[modality]
    return Prepared(arrays={name: drawn(modality).numpy()})


@pytest.fixture(scope="module")
def spark(onellm: Bundle) -> Spark:
    return load(onellm.root, precision="fp32")


@pytest.mark.parametrize(
    "modalities", [("image",), ("imu", "image"), ("image", "imu"), ("rgbd", "image", "imu")]
)
def test_the_greedy_answer_is_pytorch_s(modalities: tuple[str, ...], spark: Spark) -> None:
    given: dict[str, Any] = {name: prepared(name) for name in modalities}
    answer = spark.generate(
        QUESTION, max_tokens=STEPS, temperature=0, stop=("no such text",), **given
    )
    assert answer == greedy(modalities)
    assert spark.stats.new_tokens == STEPS


@torch.no_grad()
def greedy(modalities: Sequence[str]) -> str:
    """Run the whole sequence anew for each token: no cache, no counting of positions."""
    ids = tokenizer().encode(TEMPLATE.format(prompt=QUESTION), add_special_tokens=False).ids
    begin, end = (tokenizer().token_to_id(each) for each in ("<s>", "</s>"))
    table = WEIGHTS["tok_embeddings.weight"].float()
    media = [encoded(modality)[0] for modality in modalities]
    x = torch.cat([table[[begin]], *media, table[ids]])
    decoder = filled(SMALL, "llm", WEIGHTS.__getitem__)
    assert isinstance(decoder, LlamaDecoder)
    answer: list[int] = []
    while len(answer) < STEPS:
        positions, last = torch.arange(len(x))[None], torch.tensor([len(x) - 1])
        _, logits, _ = decoder(x[None], positions, last, decoder.empty_past(1))
        answer.append(int(logits[0, 0].argmax()))
        assert answer[-1] != end
        x = torch.cat([x, table[[answer[-1]]]])
    return str(tokenizer().decode(answer))


def encoded(modality: str) -> Tensor:
    """Encode an input: its latents between its tags."""
    x = drawn(modality)
    for part in ("tokenizer.{}", "trunk", "projection.{}", "experts", "bridge.{}"):
        x = filled(SMALL, part.format(modality), WEIGHTS.__getitem__)(x)
    return x


def test_the_order_of_modalities_is_that_of_the_prompt(spark: Spark) -> None:
    image, imu = (spark.embed(**{name: prepared(name)}) for name in ("image", "imu"))
    both = spark.embed(imu=prepared("imu"), image=prepared("image"))
    assert (both[: len(imu)] == imu).all()
    assert (both[len(imu) :] == image).all()


def test_an_answer_of_two_is_another_than_of_one() -> None:
    assert len({greedy(each) for each in (("image",), ("imu",), ("imu", "image"))}) == 3
