"""Routes: a part runs when its last wire is reached, and only then are its outputs there."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from edgespark.runtime import _check, chain
from edgespark.runtime.manifest import Part, Wire
from edgespark.runtime.ports import part_and_port
from tests.runtime.stand_in import (
    SIZE,
    WIDTH,
    Array,
    Arrays,
    StandIn,
    bridge,
    part,
    port,
)

PIXELS = port("pixels", "batch", 3, SIZE, SIZE)
RGB = np.random.default_rng(2).normal(size=(3, SIZE, SIZE)).astype(np.float32)


def mixer(extra: str) -> Part:
    """Return a bridge that takes the encoder's tokens, and the pixels too."""
    ports = [port("media", "batch", "tokens", "channels"), replace(PIXELS, name=extra)]
    return part("mixer", "bridge", (ports, [port("tokens", "batch", "tokens", WIDTH)]))


def wired(*wires: str, extra: str = "extra") -> StandIn:
    """Return a stand-in whose rgb route has these wires, "source > target" each."""
    made = StandIn()

    def mix(given: Mapping[str, Array]) -> Arrays:
        return {"tokens": bridge(given)["tokens"] + given[extra].mean()}

    made.functions["mixer"] = mix
    pairs = [wire.split(" > ") for wire in wires]
    rgb = replace(
        made.manifest.route("rgb"),
        wires=tuple(Wire(source=source, target=target) for source, target in pairs),
        output="mixer.tokens",
    )
    routes = tuple(rgb if each.modality == "rgb" else each for each in made.manifest.routes)
    variant = made.manifest.variants[0]
    made.manifest = replace(
        made.manifest,
        parts=(*made.manifest.parts, mixer(extra)),
        routes=routes,
        variants=(replace(variant, precisions={**variant.precisions, "mixer": "fp32"}),),
    )
    return made


def problems(made: StandIn) -> list[str]:
    return [each for each in _check.problems(made.manifest) if "wires" in each]


ORDERS = {
    "extra first": (
        "pixels > mixer.extra",
        "pixels > encoder_rgb.pixels",
        "encoder_rgb.tokens > mixer.media",
    ),
    "extra last": (
        "pixels > encoder_rgb.pixels",
        "encoder_rgb.tokens > mixer.media",
        "pixels > mixer.extra",
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_part_runs_when_its_last_wire_is_reached(order: str) -> None:
    made = wired(*ORDERS[order])
    assert problems(made) == []
    tokens = made.spark().embed(rgb=RGB)
    plain = StandIn().spark().embed(rgb=RGB)
    assert np.allclose(tokens, plain + RGB.mean(), atol=1e-5)
    assert list(made.sessions) == ["encoder_rgb", "mixer"]


def test_an_output_before_the_last_wire_of_its_part_is_refused() -> None:
    made = wired("encoder_rgb.tokens > mixer.media", "pixels > encoder_rgb.pixels")
    assert any("'encoder_rgb' cannot run here" in each for each in problems(made))


def test_a_port_may_have_dots_in_its_name() -> None:
    made = wired(
        "pixels > encoder_rgb.pixels",
        "encoder_rgb.tokens > mixer.media",
        "pixels > mixer.extra.0.raw",
        extra="extra.0.raw",
    )
    assert problems(made) == []
    assert made.spark().embed(rgb=RGB).shape == (2, WIDTH)
    assert part_and_port("mixer.extra.0.raw") == ("mixer", "extra.0.raw")


def test_kept_tokens_have_a_bound_in_bytes_and_the_oldest_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spark = StandIn().spark()
    size = spark.embed(rgb=RGB).nbytes
    monkeypatch.setattr(chain, "KEPT", 3 * size)
    for step in (1, 2, 0, 3):  # the first is used again before the fourth comes
        spark.embed(rgb=RGB + step)
    spark.embed(rgb=RGB)
    assert spark.stats.cached == ("rgb",)
    spark.embed(rgb=RGB + 1)
    assert spark.stats.cached == ()
    monkeypatch.setattr(chain, "KEPT", size - 1)
    spark.embed(rgb=RGB + 4)
    spark.embed(rgb=RGB + 4)
    assert spark.stats.cached == ()  # larger than all that is kept


def test_all_modalities_of_one_prompt_are_kept() -> None:
    sequence = 256 * 4096 * 4  # bytes of float32
    assert 13 * sequence <= chain.KEPT
