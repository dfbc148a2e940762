"""The PyTorch models against the public code they follow."""

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.tiny import TINY

LIMIT = 1e-4
SMALL = Llama(
    vocabulary=97, width=64, depth=3, heads=4, hidden=96, context=64, adapters=(1,), bottleneck=8
)


def stepwise(model: LlamaDecoder, embeds: Tensor) -> Tensor:
    past, found = model.empty_past(embeds.shape[0]), []
    for place in range(embeds.shape[1]):
        position = torch.full((embeds.shape[0], 1), place)
        row = embeds[:, place : place + 1]
        _, logits, new = model(row, position, torch.tensor([0]), past)
        past = [torch.cat(pair, 0) for pair in zip(past, new, strict=True)]
        found.append(logits)
    return torch.cat(found, 1)


@torch.no_grad()
def test_without_adapters_the_llm_equals_hugging_faces_llama() -> None:
    plain = Llama(
        vocabulary=97, width=64, depth=3, heads=4, hidden=96, context=64, adapters=(), bottleneck=1
    )
    torch.manual_seed(0)
    oracle = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=97,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            rms_norm_eps=plain.epsilon,
        )
    ).eval()
    model = LlamaDecoder(plain).eval()
    model.load_state_dict(oracle.state_dict())
    ids = torch.randint(97, (2, 11))
    rows = torch.arange(11)
    wanted = oracle(ids).logits
    embeds = model.model.embed_tokens(ids)
    _, logits, _ = model(embeds, rows.expand(2, 11), rows, model.empty_past(2))
    assert float((logits - wanted).abs().max() / wanted.std()) <= LIMIT


@torch.no_grad()
def test_one_stretch_and_single_steps_give_the_same_logits() -> None:
    torch.manual_seed(1)
    model = LlamaDecoder(SMALL).eval()
    embeds = torch.randn(2, 9, SMALL.width)
    rows = torch.arange(9)
    _, whole, _ = model(embeds, rows.expand(2, 9), rows, model.empty_past(2))
    assert torch.allclose(stepwise(model, embeds), whole, atol=1e-5)


@torch.no_grad()
def test_select_gives_just_those_rows() -> None:
    torch.manual_seed(2)
    model = LlamaDecoder(SMALL).eval()
    embeds, rows = torch.randn(1, 6, SMALL.width), torch.arange(6)
    _, whole, _ = model(embeds, rows.unsqueeze(0), rows, model.empty_past(1))
    _, chosen, _ = model(embeds, rows.unsqueeze(0), torch.tensor([4, 1]), model.empty_past(1))
    assert torch.allclose(chosen, whole[:, [4, 1]], atol=1e-6)


def test_the_small_model_fits_its_budget_of_25_megabytes_in_half_precision() -> None:
    numbers = sum(each.numel() for each in AllSpark(TINY).parameters())
    assert 2 * numbers <= 24e6  # the tokenizer takes some of it
