"""The PyTorch models against the public code they follow."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import Llama, Perceiver, Transformer
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.tiny import TINY
from edgespark.export.models.vision import VisionTransformer

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
LIMIT = 1e-4
SMALL = Llama(
    vocabulary=97, width=64, depth=3, heads=4, hidden=96, context=64, adapters=(1,), bottleneck=8
)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(model: nn.Module, case: str, prefix: str) -> nn.Module:
    weights = generator()
    spec = json.loads((GOLDEN / case / "spec.json").read_text())
    entries = [entry for entry in spec["state_dict"] if len(entry) == 3]
    named = {name: weights.tensor(name, shape) for name, shape, _ in entries}
    model.load_state_dict(
        {name[len(prefix) :]: torch.from_numpy(each) for name, each in named.items()}
    )
    return model.eval()


def made(case: str, name: str, shape: list[int]) -> Tensor:
    return torch.from_numpy(generator().tensor(f"input/{case}/{name}", shape))


def distance(got: Tensor, case: str, output: str) -> float:
    wanted = np.load(GOLDEN / case / "outputs.npz")[output]
    return float(np.abs(got.numpy() - wanted).max() / wanted.std())


golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden outputs at ../shared/golden")


@golden
@torch.no_grad()
def test_the_bridge_equals_lynx() -> None:
    size = Perceiver(latents=32, depth=3, heads=8, head_dim=64, multiple=4)
    model = filled(Bridge(1408, 256, size), "lynx/bridge", "bridge.")
    got = model(made("lynx_bridge", "x", [2, 901, 1408]))
    assert distance(got, "lynx/bridge", "v2t_feats") <= LIMIT


@golden
@torch.no_grad()
def test_the_vision_transformer_equals_lynx() -> None:
    size = Transformer(bands=3, size=420, patch=14, width=1408, depth=3, heads=16, hidden=6144)
    model = filled(VisionTransformer(size), "lynx/vision", "vision_encoder.")
    got = model(made("lynx_vision", "x", [1, 3, 420, 420]))
    assert distance(got.mean(-1), "lynx/vision", "tokens_mean_over_dim") <= LIMIT
    assert distance(got.mean(1), "lynx/vision", "tokens_mean_over_tokens") <= LIMIT


@golden
@torch.no_grad()
def test_the_llm_with_adapters_equals_lynx_in_one_stretch_and_step_by_step() -> None:
    size = Llama(
        vocabulary=512,
        width=128,
        depth=4,
        heads=4,
        hidden=344,
        context=2048,
        adapters=(0, 2),
        bottleneck=64,
    )
    model = filled(LlamaDecoder(size), "lynx/llm_adapter", "LLM.")
    assert isinstance(model, LlamaDecoder)
    inputs = np.load(GOLDEN / "lynx/llm_adapter/inputs.npz")
    text = model.model.embed_tokens(torch.from_numpy(inputs["ids"]))
    embeds = torch.cat((torch.from_numpy(inputs["latents"]), text), 1)[:1]
    rows = torch.arange(42)
    _, logits, _ = model(embeds, rows.unsqueeze(0), rows, model.empty_past(1))
    assert distance(logits[0], "lynx/llm_adapter", "logits_row0") <= LIMIT
    assert distance(stepwise(model, embeds)[0], "lynx/llm_adapter", "logits_row0") <= LIMIT


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


def test_the_small_model_fits_its_budget_of_twelve_megabytes_in_half_precision() -> None:
    numbers = sum(each.numel() for each in AllSpark(TINY).parameters())
    assert 2 * numbers <= 12e6
