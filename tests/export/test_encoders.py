"""The small encoders: what they promise, whatever their sizes and weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from edgespark.export.models.allspark import ENCODERS
from edgespark.export.models.config import (
    Encoder,
    FieldTransformer,
    PointTransformer,
    SeriesTransformer,
    Spectral,
    TrackTransformer,
)
from edgespark.export.models.fields import TabFormer
from edgespark.export.models.points import PointBert, PointBertClassifier
from edgespark.export.models.positions import resized_positions
from edgespark.export.models.series import STAEformer, STAEformerForecaster
from edgespark.export.models.spectral import SpectralTransformer
from edgespark.export.models.tracks import SampleNorm, Tutr, TutrForecaster
from edgespark.runtime.errors import InputError
from tests.golden.launch import in_onnx, stage

BATCH = 3
SPECTRAL = Spectral(bands=7, size=4, group=3, width=16, depth=4, heads=2, hidden=24)
POINTS = PointTransformer(groups=6, neighbours=5, width=16, depth=2, heads=2, features=12)
FIELDS = FieldTransformer(vocabulary=30, rows=4, columns=5, field=8, layers=2, heads=2, width=12)
SERIES = SeriesTransformer(
    nodes=5,
    steps=4,
    predicted=3,
    value=4,
    day=4,
    week=2,
    adaptive=6,
    hidden=20,
    heads=2,
    layers=2,
    steps_per_day=24,
)
TRACKS = TrackTransformer(
    observed=4, predicted=6, agents=3, modes=7, width=16, heads=2, layers=2, expansion=2
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """One encoder's sizes, and inputs that it takes."""

    size: Encoder
    inputs: Callable[[], dict[str, Tensor]]


def clouds() -> dict[str, Tensor]:
    return {
        "neighbourhoods": torch.randn(BATCH, 6, 5, 3),
        "centres": torch.randn(BATCH, 6, 3),
    }


def series() -> dict[str, Tensor]:
    times = torch.rand(BATCH, 4, 5, 1), torch.randint(7, (BATCH, 4, 5, 1)).float()
    return {"series": torch.cat((torch.randn(BATCH, 4, 5, 1), *times), -1)}


def tracks() -> dict[str, Tensor]:
    return {
        "track": torch.randn(BATCH, 4, 2),
        "neighbours": torch.randn(BATCH, 3, 4, 2),
        "present": torch.tensor([[True, False, False], [True, True, False], [True, True, True]]),
    }


GIVEN = {
    "spectral": Given(size=SPECTRAL, inputs=lambda: {"pixels": torch.randn(BATCH, 7, 4, 4)}),
    "points": Given(size=POINTS, inputs=clouds),
    "fields": Given(size=FIELDS, inputs=lambda: {"cells": torch.randint(30, (BATCH, 4, 5))}),
    "series": Given(size=SERIES, inputs=series),
    "tracks": Given(size=TRACKS, inputs=tracks),
}
every = pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)


def made(given: Given) -> nn.Module:
    torch.manual_seed(0)
    return ENCODERS[type(given.size)](given.size)


@every
@torch.no_grad()
def test_the_tokens_are_as_many_and_as_wide_as_the_config_says(given: Given) -> None:
    tokens = made(given).eval()(*given.inputs().values())
    assert tokens.shape == (BATCH, given.size.tokens, given.size.width)
    assert torch.isfinite(tokens).all()


@every
@torch.no_grad()
def test_a_sample_gives_the_same_alone_and_in_a_batch(given: Given) -> None:
    model = made(given).eval()
    inputs = given.inputs()
    whole = model(*inputs.values())
    alone = model(*(each[1:2] for each in inputs.values()))
    assert torch.allclose(whole[1:2], alone, atol=1e-5)


@every
def test_every_weight_learns(given: Given) -> None:
    model = made(given).train()
    model(*given.inputs().values()).square().mean().backward()
    assert all(
        each.grad is not None and torch.isfinite(each.grad).all() for each in model.parameters()
    )


@every
@torch.no_grad()
def test_the_graph_takes_any_batch(given: Given) -> None:
    model, inputs = made(given).eval(), given.inputs()
    run = in_onnx(stage(model, {name: each.numpy() for name, each in inputs.items()}, "tokens"))
    for count in (1, BATCH):
        fed = {name: each[:count] for name, each in inputs.items()}
        wanted = model(*fed.values())
        got = run({name: each.numpy() for name, each in fed.items()})["tokens"]
        assert torch.allclose(torch.from_numpy(got), wanted, atol=1e-4 * float(wanted.std()))


@torch.no_grad()
def test_tabformer_equals_torchs_own_transformer() -> None:
    torch.manual_seed(0)
    model = TabFormer(FIELDS).eval()
    oracle = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    oracle.load_state_dict(model.transformer_encoder.state_dict())
    cells = torch.randn(BATCH, 5, 8)
    assert torch.allclose(model.transformer_encoder(cells), oracle(cells), atol=1e-5)


@torch.no_grad()
def test_a_row_of_a_table_knows_nothing_of_the_others() -> None:
    model = TabFormer(FIELDS).eval()
    cells = torch.randint(30, (1, 4, 5))
    other = cells.clone()
    other[:, 2] = (other[:, 2] + 1) % 30
    same = [0, 1, 3]
    assert torch.allclose(model(cells)[:, same], model(other)[:, same], atol=1e-6)
    assert not torch.allclose(model(cells)[:, 2], model(other)[:, 2], atol=1e-3)


@torch.no_grad()
def test_the_order_of_points_in_a_group_means_nothing() -> None:
    torch.manual_seed(0)
    model = PointBert(POINTS).eval()
    groups, centres = clouds().values()
    assert torch.allclose(model(groups, centres), model(groups.flip(2), centres), atol=1e-5)


def test_the_classifier_reads_the_class_token_and_the_greatest_of_the_others() -> None:
    torch.manual_seed(0)
    model = PointBertClassifier(POINTS, 4).eval()
    assert model.encoder.first_conv[0].weight.shape == (128, 3, 1)
    given = clouds().values()
    tokens = PointBert.forward(model, *given)
    joined = torch.cat((tokens[:, 0], tokens[:, 1:].max(1).values), -1)
    assert torch.equal(model(*given), model.cls_head_finetune(joined))


@torch.no_grad()
def test_time_of_day_is_cut_not_rounded_to_its_step() -> None:
    torch.manual_seed(0)
    model = STAEformer(SERIES).eval()
    x = series()["series"]
    x[..., 1] = (7 + 0.99) / 24
    day = model.embed(x)[..., 4:8]
    assert torch.equal(day, model.tod_embedding.weight[7].expand_as(day))


@torch.no_grad()
def test_forecasts_come_step_by_step() -> None:
    model = STAEformerForecaster(SERIES, outputs=2).eval()
    model.output_proj.weight.zero_()
    model.output_proj.bias.copy_(torch.arange(6))
    told = model(series()["series"])
    assert told.shape == (BATCH, 3, 5, 2)
    assert told[0, :, 0].tolist() == [[0, 1], [2, 3], [4, 5]]  # steps, then outputs


@torch.no_grad()
def test_agents_that_are_absent_change_nothing() -> None:
    torch.manual_seed(0)
    model = Tutr(TRACKS).eval()
    track, neighbours, present = tracks().values()
    moved = torch.where(present[..., None, None], neighbours, 7.0)
    assert torch.allclose(model(track, neighbours, present), model(track, moved, present))
    everyone = torch.ones_like(present)
    assert not torch.allclose(model(track, moved, everyone)[0], model(track, moved, present)[0])


@torch.no_grad()
def test_the_encoder_and_the_public_model_share_their_tokens() -> None:
    torch.manual_seed(0)
    public, chain = TutrForecaster(TRACKS, kept=7).eval(), Tutr(TRACKS).eval()
    chain.load_state_dict(public.state_dict(), strict=False)
    track, neighbours, present = tracks().values()
    told, scores, best = public(track, neighbours, chain.motion_modes, present)
    assert torch.equal(best, scores.argsort(descending=True))
    tokens = chain(track, neighbours, present)
    ours = public.reg_head(tokens).unflatten(-1, (-1, 2))
    assert torch.allclose(told, ours.gather(1, best[..., None, None].expand_as(told)), atol=1e-5)


def test_motion_modes_are_kept_but_not_trained() -> None:
    model = Tutr(TRACKS)
    assert "motion_modes" in model.state_dict()
    assert "motion_modes" not in dict(model.named_parameters())


def test_the_norm_of_tracks_divides_by_the_sample_deviation() -> None:
    x = torch.randn(4, 9)
    wanted = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
    assert torch.allclose(SampleNorm(9)(x), wanted, atol=1e-6)


@torch.no_grad()
def test_a_band_and_its_neighbours_make_one_token_the_ends_repeated() -> None:
    torch.manual_seed(0)
    model = SpectralTransformer(SPECTRAL).eval()
    pixels = torch.randn(1, 7, 4, 4)
    kernel, offset = dict(model.embedding.proj.named_parameters()).values()
    for band, reach in {0: [0, 0, 1], 3: [2, 3, 4], 6: [5, 6, 6]}.items():
        group = pixels[0, reach].flatten(1)
        wanted = torch.einsum("wpg,gp->w", kernel, group) + offset
        assert torch.allclose(model.embedding(pixels)[0, band], wanted, atol=1e-5)


@torch.no_grad()
def test_fusion_mixes_in_what_entered_two_blocks_before() -> None:
    torch.manual_seed(0)
    model = SpectralTransformer(replace(SPECTRAL, depth=3)).eval()
    pixels = torch.randn(1, 7, 4, 4)
    first = torch.cat((model.cls_token, model.embedding(pixels)), 1) + model.pos_embed
    second = model.blocks[1](model.blocks[0](first))
    model.fusion.copy_(torch.tensor([[0.25, 2.0]]))
    wanted = model.norm(model.blocks[2](0.25 * second + 2.0 * first))
    assert torch.allclose(model(pixels), wanted, atol=1e-5)


def test_a_position_table_of_that_size_stays_as_it_is() -> None:
    table = torch.randn(1, 17, 3)
    assert resized_positions(table, 4) is table


def test_a_resized_position_table_keeps_the_class_row_and_what_is_even() -> None:
    table = torch.cat((torch.full((1, 1, 2), 5.0), torch.full((1, 9, 2), 2.0)), 1)
    resized = resized_positions(table, 5)
    assert resized.shape == (1, 26, 2)
    assert torch.equal(resized[:, :1], table[:, :1])
    assert torch.allclose(resized[:, 1:], torch.tensor(2.0), atol=1e-6)


def test_positions_that_form_no_square_are_an_error() -> None:
    with pytest.raises(InputError, match="square"):
        resized_positions(torch.zeros(1, 12, 3), 4)
