"""Weights ship in half precision, are read strictly, and come with tokenizer, scores and card."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.weights import CARD, MODEL, SCORES, SHIPPED, checkpoint, halved, write
from edgespark.export.worlds.tokens import train_tokenizer
from edgespark.runtime.errors import InputError, MissingInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(300, ("a",))
    write(place, AllSpark(TINY), tokenizer, {SCORES: "{}", CARD: "# card"})
    return place


def test_what_is_written_is_read_back_as_rounded_to_half(folder: Path) -> None:
    torch.manual_seed(0)
    wanted, model = AllSpark(TINY), AllSpark(TINY)
    checkpoint(folder).fill(model)
    rounded = halved(wanted)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, rounded[name].to(tensor.dtype))


def test_every_wrong_tensor_is_named_at_once(folder: Path) -> None:
    read = checkpoint(folder)
    tensors = dict(read.tensors)
    gone = tensors.pop("bridges.rgb.latents")
    tensors["bridges.rgb.queries"] = gone
    tensors["heads.sar.bias"] = torch.zeros(3)
    with pytest.raises(InputError) as caught:
        replace(read, tensors=tensors).fill(AllSpark(TINY))
    for part in (
        "missing: bridges.rgb.latents",
        "unexpected: bridges.rgb.queries",
        "heads.sar.bias: expected [10], got [3]",
    ):
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"model\.safetensors, tokenizer\.json"):
        checkpoint(tmp_path)


def test_a_truncated_file_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / MODEL).write_bytes((folder / MODEL).read_bytes()[:1000])
    with pytest.raises(InputError, match="checkpoint"):
        checkpoint(tmp_path)


def test_the_shipped_weights_fit_and_score_between_90_and_98_percent() -> None:
    shipped = checkpoint(SHIPPED / "allspark-tiny")
    shipped.fill(AllSpark(TINY))
    assert (SHIPPED / "allspark-tiny" / MODEL).stat().st_size <= 12_000_000
    judged = {tuple(each["modalities"]): each for each in shipped.scores["judgements"]}
    for modality in TINY.modalities:
        alone = judged[modality,]
        assert alone["n"] >= 2000
        for task in ("head", "answer"):
            assert 0.90 <= alone[task] <= 0.98
    for pair, both in judged.items():
        weaker = min(judged[name,]["head"] for name in pair)
        assert len(pair) == 1 or both["head"] > weaker
