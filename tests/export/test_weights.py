"""Weights ship in half precision, are read strictly, and come with tokenizer, scores and card."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.sequences import Writer
from edgespark.export.weights import (
    CARD,
    MODEL,
    SCORES,
    SHIPPED,
    TOKENIZER,
    checkpoint,
    halved,
    write,
)
from edgespark.export.worlds.tokens import train_tokenizer
from edgespark.runtime.errors import InputError, MissingInput

NO_SCORES = '{"schedule": {}, "judgements": []}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(300, ("a",))
    write(place, AllSpark(TINY), tokenizer, {SCORES: NO_SCORES, CARD: "# card"})
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


Change = Callable[[bytes], bytes]
BROKEN: dict[str, tuple[str, Change, str]] = {
    "cut weights": (MODEL, lambda content: content[:1000], "no safetensors"),
    "empty weights": (MODEL, lambda _: b"", "no safetensors"),
    "no tokenizer": (TOKENIZER, lambda _: b"{}", "no tokenizer"),
    "no text": (TOKENIZER, lambda _: b"\xff\xfe", "no tokenizer"),
    "no scores": (SCORES, lambda _: b"{}", "judgements: missing"),
    "list of scores": (SCORES, lambda _: b"[]", "expected an object"),
    "broken scores": (SCORES, lambda _: b"{", "no JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_by_name(case: str, folder: Path, tmp_path: Path) -> None:
    name, change, text = BROKEN[case]
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{re.escape(name)}.*{text}"):
        checkpoint(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    tokenizer = checkpoint(folder).tokenizer
    small = replace(TINY, llm=replace(TINY.llm, vocabulary=100))
    with pytest.raises(InputError, match=r"300 tokens.*100 embeddings"):
        Writer(small, tokenizer)
    with pytest.raises(InputError, match="no token '<s>'"):
        Writer(TINY, Tokenizer(BPE()))


CLASSES = [name for name, task in TINY.tasks.items() if task.labels]


def test_the_shipped_weights_fit() -> None:
    checkpoint(SHIPPED / "allspark-tiny").fill(AllSpark(TINY))
    assert sum(each.stat().st_size for each in (SHIPPED / "allspark-tiny").iterdir()) <= 25_000_000


@pytest.mark.parametrize("modality", CLASSES)
def test_the_shipped_weights_score_between_90_and_98_percent(modality: str) -> None:
    judged = {e.modalities: e for e in checkpoint(SHIPPED / "allspark-tiny").scores.judgements}
    alone = judged[modality,]
    assert alone.n >= 2000
    assert alone.head is not None
    assert 0.90 <= alone.head <= 0.98
    assert 0.90 <= alone.answer <= 0.98


def test_the_shipped_forecasts_are_far_better_than_simple_ones() -> None:
    judged = {e.modalities: e for e in checkpoint(SHIPPED / "allspark-tiny").scores.judgements}
    for modality, task in TINY.tasks.items():
        alone = judged[modality,]
        assert set(alone.errors) == set(task.metrics)
        for metric, error in alone.errors.items():
            assert error <= 0.7 * min(each[metric] for each in alone.baselines.values())


def test_together_modalities_of_the_place_know_more() -> None:
    judged = {e.modalities: e for e in checkpoint(SHIPPED / "allspark-tiny").scores.judgements}
    for names, both in judged.items():
        if len(names) > 1:
            weakest = min(judged[name,].answer for name in names)
            assert both.n >= 500
            assert both.answer > weakest
