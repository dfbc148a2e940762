"""allspark-base: its size, and that random weights go through the same exporter."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from edgespark.export.exporter import export
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.base import BASE
from edgespark.export.models.config import AllSparkConfig, Encoder, Transformer, Video
from edgespark.export.models.counts import counts
from edgespark.export.recipes.base import blueprint, card, random_blueprint, random_model
from edgespark.export.recipes.drawn import COUNT, drawn
from edgespark.export.trace import LIMIT
from edgespark.runtime import load
from edgespark.runtime.errors import UnknownModality, UsageError
from edgespark.runtime.preprocessing import Frames
from edgespark.runtime.starts import starts

CHOSEN = ("video", "table", "language")
TOLD = {"encoder_rgb": 85.8e6, "encoder_point_cloud": 21.9e6, "embedder": 24.6e6, "decoder": 141e6}


def shallow(size: Encoder) -> Encoder:
    if isinstance(size, Video):
        return replace(size, image=replace(size.image, size=32, width=64, depth=1, heads=2))
    if isinstance(size, Transformer):
        return replace(size, size=32, width=64, depth=1, heads=2)
    return size


def reduced() -> AllSparkConfig:
    """Cut what takes long, and leave the kinds of parts and how they are chained."""
    video = cast("Frames", BASE.records["video"])
    frame = replace(video.frame, rows=32, columns=32)
    return replace(
        BASE,
        encoders={name: shallow(size) for name, size in BASE.encoders.items()},
        records=BASE.records | {"rgb": frame, "video": replace(video, frame=frame)},
        llm=replace(
            BASE.llm, vocabulary=1024, width=64, depth=1, heads=2, hidden=96, adapters=(0,)
        ),
        bridge=replace(BASE.bridge, depth=1),
    )


@pytest.fixture(scope="module")
def model() -> AllSpark:
    with torch.device("meta"):
        return AllSpark(BASE)


def test_it_has_thirteen_modalities_and_half_a_billion_parameters(model: AllSpark) -> None:
    found = counts(model)

    assert len(BASE.modalities) == 13
    assert sum(found.values()) == sum(each.numel() for each in model.parameters())
    assert 0.45e9 <= sum(found.values()) <= 0.55e9
    assert {name: found[name] for name in TOLD} == pytest.approx(TOLD, rel=0.01)


def test_every_modality_has_all_that_a_route_needs(model: AllSpark) -> None:
    for table in (BASE.records, BASE.prompts, BASE.tasks):
        assert table.keys() == set(BASE.modalities)
    assert set(model.heads) == set(BASE.modalities)


@pytest.mark.parametrize("modality", BASE.encoders)
def test_probes_fit_the_ports_and_each_encoder_takes_them(modality: str, model: AllSpark) -> None:
    arrays = drawn(BASE.records[modality])
    ports = starts(BASE.records[modality])
    size = BASE.encoders[modality]

    assert [str(each.dtype) for each in arrays] == [f"torch.{port.dtype}" for port in ports]
    for array, port in zip(arrays, ports, strict=True):
        assert array.shape == (COUNT, *(axis.high for axis in port.axes[1:]))
    tokens = model.encoder(modality)(*(each.to("meta") for each in arrays))
    assert tokens.shape == (COUNT, size.tokens, size.width)


def test_its_card_says_that_it_is_random_and_how_large_its_parts_are(model: AllSpark) -> None:
    text = card(model)

    assert "weights are random" in text
    assert "for benchmarks only" in text
    assert f"| encoder_rgb | {counts(model)['encoder_rgb']:,} |" in text


def test_the_same_weights_are_drawn_each_time() -> None:
    before = torch.random.get_rng_state()
    one, other = (random_model(reduced()).state_dict() for _ in range(2))

    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_some_of_it_at_reduced_size_is_exported_and_runs(tmp_path: Path) -> None:
    bundle = export(random_blueprint(reduced(), CHOSEN), tmp_path / "out", replace=False)

    assert max(each.error for each in bundle.manifest.evidence.parity) <= LIMIT
    assert bundle.manifest.samples == ()
    assert bundle.manifest.evidence.scores == ()
    spark = load(bundle.root)
    frames = np.zeros((7, 3, 32, 32), np.uint8)
    assert len(spark.classify(video=frames)) == len(BASE.tasks["video"].labels)


def test_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no checkpoint"):
        blueprint("allspark-base", tmp_path, ())


def test_an_unknown_modality_is_refused_before_the_weights_are_drawn() -> None:
    with pytest.raises(UnknownModality, match="allspark-base has no sonar"):
        blueprint("allspark-base", None, ("sonar",))
