"""What OneLLM's parts compute, against torch's own modules and plain loops."""

import pytest
import torch
from torch import Tensor, nn

from edgespark.export.models.llama import rotate, rotations
from edgespark.export.models.onellm.parts import Bridge, Projection
from edgespark.export.models.onellm.sources import filled, fold, permuted
from edgespark.runtime.verify import distance
from tests.export.small_onellm import SHAPES, SMALL, draw, tensor
from tests.golden.launch import in_onnx, in_torch
from tests.golden.onellm import SHARED

LIMIT = 1e-5


def far(got: Tensor, wanted: Tensor) -> float:
    return distance(got.detach().numpy(), wanted.detach().numpy())


@pytest.mark.parametrize("modality", SMALL.modalities)
@torch.no_grad()
def test_the_parts_of_a_modality_fit_together(modality: str) -> None:
    size, width = SMALL.tokenizers[modality], SMALL.clip.width
    x = filled(SMALL, f"tokenizer.{modality}", tensor)(draw(*size.shape))
    assert x.shape[1:] == (size.tokens, width)
    for part in ("trunk", f"projection.{modality}", "experts", f"bridge.{modality}"):
        x = filled(SMALL, part, tensor)(x)
    assert x.shape == (1, SMALL.tokens, SMALL.llm.width)
    assert x.isfinite().all()
    assert torch.equal(x[0, 0], tensor(f"start_tag.{modality}")[0, 0])
    assert torch.equal(x[0, -1], tensor(f"end_tag.{modality}")[0, 0])


def placed(modality: str, tokens: Tensor) -> Tensor:
    """Put the class token before [frames, tokens, width], and add positions."""
    name = f"positional_embedding.{modality}"
    table = tensor(name if name in SHAPES else "clip.visual.positional_embedding")
    first = tensor("clip.visual.class_embedding").repeat(len(tokens), 1, 1)
    return torch.cat((first, tokens), 1) + table


@torch.no_grad()
def test_each_frame_is_cut_into_patches_alone() -> None:
    frames = draw(1, 3, 3, 28, 28)
    patches = frames[0].unfold(2, 14, 14).unfold(3, 14, 14)  # [frame, colour, row, column, y, x]
    flat = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    wanted = placed("video", flat @ tensor("clip.visual.conv1.weight").flatten(1).T)
    assert far(filled(SMALL, "tokenizer.video", tensor)(frames), wanted) < LIMIT


@torch.no_grad()
def test_sound_is_cut_mel_by_mel() -> None:
    fbank = draw(1, 1, 36, 46)
    corners = [(mel, frame) for mel in (0, 10, 20) for frame in (0, 10, 20, 30)]
    cut = torch.stack([fbank[0, 0, y : y + 16, x : x + 16].flatten() for y, x in corners])
    tokens = cut @ tensor("conv1.audio.weight").flatten(1).T + tensor("conv1.audio.bias")
    wanted = placed("audio", tokens[None])
    assert far(filled(SMALL, "tokenizer.audio", tensor)(fbank), wanted) < LIMIT


@torch.no_grad()
def test_a_group_of_points_gives_the_greatest_of_each_channel() -> None:
    points = draw(1, 6, 4, 6)
    mapped = points @ tensor("conv1.point.conv1.weight").flatten(1).T
    wanted = placed("point", (mapped + tensor("conv1.point.conv1.bias")).amax(2))
    assert far(filled(SMALL, "tokenizer.point", tensor)(points), wanted) < LIMIT


@torch.no_grad()
def test_a_scan_gives_each_channel_in_one_run() -> None:
    voxels = draw(1, 1, 20)
    out = voxels[0, 0] @ tensor("conv1.fmri.weight").T + tensor("conv1.fmri.bias")
    tokens = torch.stack([out[token::8] for token in range(8)])  # out[8 channel + token]
    wanted = placed("fmri", tokens[None])
    assert far(filled(SMALL, "tokenizer.fmri", tensor)(voxels), wanted) < LIMIT


TORCH = {  # names of our block, and of torch's layer
    "ln_1.": "norm1.",
    "attn.": "self_attn.",
    "ln_2.": "norm2.",
    "mlp.c_fc.": "linear1.",
    "mlp.c_proj.": "linear2.",
}


def torch_layer(block: nn.Module) -> nn.Module:
    """Make torch's own layer with the block's weights."""
    width, heads = SMALL.clip.width, SMALL.clip.heads
    layer = nn.TransformerEncoderLayer(
        width,
        heads,
        4 * width,
        dropout=0,
        activation=lambda x: x * torch.sigmoid(1.702 * x),
        batch_first=True,
        norm_first=True,
    )
    weights = {}
    for name, each in block.state_dict().items():
        ours = next(begin for begin in TORCH if name.startswith(begin))
        weights[TORCH[ours] + name.removeprefix(ours)] = each
    layer.load_state_dict(weights)
    return layer


@torch.no_grad()
def test_the_trunk_is_of_torchs_own_layers() -> None:
    trunk, x = filled(SMALL, "trunk", tensor), draw(3, 7, SMALL.clip.width)
    ln_pre, blocks, ln_post = trunk.children()
    wanted = ln_pre(x)
    for block in blocks.children():
        wanted = torch_layer(block)(wanted)
    assert far(trunk(x), ln_post(wanted)) < LIMIT


def llama_block(name: str, x: Tensor) -> Tensor:
    """Run one block of an expert on all rows, by torch's own functions."""
    functional, width = nn.functional, SMALL.clip.width

    def norm(kind: str, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (width,), tensor(f"{name}.{kind}.weight"), 1e-5)

    def mapped(kind: str, x: Tensor) -> Tensor:
        return x @ tensor(f"{name}.{kind}.weight").T

    normed = norm("attention_norm", x)
    parts = (mapped(f"attention.{each}", normed) for each in ("wq", "wk", "wv"))
    axes = (1, len(x[0]), SMALL.experts.heads, -1)
    query, key, value = (each.reshape(axes).transpose(1, 2) for each in parts)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    x = x + mapped("attention.wo", mixed.transpose(1, 2).flatten(2))
    normed = norm("ffn_norm", x)
    gate = functional.silu(mapped("feed_forward.w1", normed))
    return x + mapped("feed_forward.w2", gate * mapped("feed_forward.w3", normed))


@torch.no_grad()
def test_each_expert_gives_the_latents_of_its_own_blocks() -> None:
    x, latents = draw(1, 11, SMALL.clip.width), SMALL.experts.latents
    wanted = []
    for expert in range(SMALL.experts.count):
        rows = x
        for layer in range(SMALL.experts.depth):
            rows = llama_block(f"resample_layers.{expert}.{layer}", rows)
        wanted.append(rows[:, :latents])
    assert far(filled(SMALL, "experts", tensor)(x), torch.cat(wanted)) < LIMIT


@torch.no_grad()
def test_the_bridge_weighs_as_the_router_does_for_any_input() -> None:
    projection, bridge = (filled(SMALL, f"{kind}.imu", tensor) for kind in ("projection", "bridge"))
    assert isinstance(projection, Projection)
    assert isinstance(bridge, Bridge)
    sequence, rows = projection(draw(1, 12, SMALL.clip.width)), SMALL.experts.latents
    linear = nn.functional.linear
    layers = (
        [tensor(f"routers.imu.{layer}.{each}") for each in ("weight", "bias")]
        for layer in ("fc1", "fc2")
    )
    chosen = linear(nn.functional.gelu(linear(sequence, *next(layers))), *next(layers)).sigmoid()
    weights = (chosen / chosen.sum(-1, keepdim=True))[0, :rows]
    assert far(bridge.weights[..., 0].T, weights) < LIMIT

    latents = draw(SMALL.experts.count, rows, SMALL.clip.width)
    mixed = sum(each * weights[:, [k]] for k, each in enumerate(latents))
    assert far(bridge(latents)[0, 1:-1], bridge.clip_proj2(mixed)) < LIMIT


@torch.no_grad()
def test_frames_are_averaged_before_the_projection() -> None:
    projection = filled(SMALL, "projection.video", tensor)
    assert isinstance(projection, Projection)
    features = draw(3, 5, SMALL.clip.width)
    made = projection(features)
    latents = SMALL.experts.latents
    assert torch.equal(made[:, :latents], tensor("resample_tokens.video"))
    wanted = projection.clip_proj1(features.sum(0, keepdim=True) / 3)
    assert far(made[:, latents:], wanted) < LIMIT


def test_weights_are_folded_in_double_precision() -> None:
    names = [
        f"routers.image.{each}" for each in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    ]
    router = [tensor(name) for name in (*names, "resample_tokens.image")]
    single, double = fold(*router), fold(*(each.double() for each in router))
    assert single.dtype == torch.float32
    assert torch.equal(single, double)


def test_permuted_queries_and_keys_meet_as_metas_do() -> None:
    size = SMALL.llm
    weights, x = draw(2, size.width, size.width), draw(6, size.width)
    cos, sin = rotations(size)
    turn = (cos[:6].unsqueeze(1), sin[:6].unsqueeze(1))
    halves = [
        rotate((x @ permuted(each, size.heads).T).reshape(len(x), size.heads, -1), *turn)
        for each in weights
    ]
    half = size.head_dim // 2
    angles = torch.polar(
        torch.ones(6, 1, half), torch.outer(torch.arange(6.0), frequencies(half))[:, None]
    )
    pairs = [
        torch.view_as_real(
            torch.view_as_complex((x @ each.T).unflatten(-1, (size.heads, half, 2))) * angles
        ).flatten(-2)
        for each in weights
    ]
    scores = [torch.einsum("qhd,khd->hqk", query, key) for query, key in (halves, pairs)]
    assert far(*scores) < LIMIT


def frequencies(half: int) -> Tensor:
    """Return the frequencies of Meta's code."""
    return 1 / 10000 ** (torch.arange(half) / half)


@pytest.mark.parametrize(
    ("kind", "shape"), [("trunk", (1, 9)), ("trunk", (4, 3)), ("experts", (1, 13))]
)
def test_a_shared_part_takes_any_length(kind: str, shape: tuple[int, int]) -> None:
    stage = SHARED[kind](filled(SMALL, kind, tensor), SMALL)
    x = {"x": draw(*shape, SMALL.clip.width).numpy()}
    assert distance(in_onnx(stage)(x)["y"], in_torch(stage)(x)["y"]) < LIMIT
