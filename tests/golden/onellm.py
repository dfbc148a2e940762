"""OneLLM's encoder at the sizes of a case: the parts of a modality's chain, one after another."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgespark.export.models.config import Llama
from edgespark.export.models.onellm.config import (
    ONELLM,
    Clip,
    OneLLMConfig,
    PointGroups,
    Tokenizing,
    hidden,
)
from edgespark.export.models.onellm.names import PREFIX
from edgespark.export.models.onellm.parts import Bridge
from edgespark.export.models.onellm.sources import filled
from edgespark.export.stage import Stage
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Axis, Port
from edgespark.runtime.points.coloured import groups
from edgespark.runtime.sensory import ColouredPoints
from tests.golden.case import Array, Arrays, Case
from tests.golden.launch import Launch, Run, stage

FIRST, LAST = 16, 4  # rows that a case holds of a longer array
TAGS = ("start_tag.", "end_tag.")  # of no encoder in the public code, and cut off here


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Makes a case's tensors by their names without prefix; `used` are those it was asked for."""

    case: Case
    used: set[str] = field(default_factory=set)

    def __call__(self, name: str) -> Tensor:
        """Make a tensor; a tag that the case has not is zero."""
        full = PREFIX + name
        if name.startswith(TAGS) and full not in self.case.shapes():
            return torch.zeros(1, 1, self.case.config["dim"])
        self.used.add(full)
        return self.case.tensor(full)

    def finish(self) -> None:
        """Raise InputError where the case has a tensor that nothing has asked for."""
        if left := sorted(self.case.shapes().keys() - self.used):
            raise InputError(f"{self.case.name}: no part of the model has {', '.join(left)}")


def encoder(case: Case, launch: Launch) -> Arrays:
    """Encode an input: tokens, and what comes before them."""
    config, modality, read = sizes(case), _modality(case), Reader(case=case)
    prepared, picked = _prepared(config.tokenizers[modality], case.inputs()["x"])

    def run(kind: str, array: Array) -> Array:
        if kind in SHARED:
            return _shared(kind, filled(config, kind, read), config, launch)({"x": array})["y"]
        own = stage(filled(config, f"{kind}.{modality}", read), {"x": array}, "y", fixed=("x",))
        return launch(own)({"x": array})["y"]

    features = run("trunk", run("tokenizer", prepared))
    sequence = run("projection", features)
    latents = run("experts", sequence)
    tokens = run("bridge", latents)[:, 1:-1]
    bridge = cast("Bridge", filled(config, f"bridge.{modality}", read))
    read.finish()
    made = {"tokens": tokens} | _weighted(bridge.weights.numpy(), latents)
    return made | _cut(config.experts.latents, features, sequence) | picked


def sizes(case: Case) -> OneLLMConfig:
    """Read a case's sizes; what it leaves out is as in the release."""
    told = case.config
    clip = Clip(
        width=told.get("clip_width", ONELLM.clip.width),
        depth=told.get("clip_layers", ONELLM.clip.depth),
        heads=told.get("clip_heads", ONELLM.clip.heads),
    )
    inner = hidden(clip.width, told["multiple_of"])
    llm = Llama(
        vocabulary=told["vocab_size"],
        width=told["dim"],
        depth=told["n_layers"],
        heads=told["n_heads"],
        hidden=hidden(told["dim"], told["multiple_of"]),
        context=told["max_seq_len"],
        adapters=(),
        bottleneck=0,
        epsilon=told["norm_eps"],
    )
    experts = replace(ONELLM.experts, hidden=inner, epsilon=told["norm_eps"])
    return replace(ONELLM, name=case.name, clip=clip, experts=experts, llm=llm)


def _modality(case: Case) -> str:
    found = re.search(r"modal='(\w+)'", str(case.spec.get("entry")))
    if found is None or found[1] not in ONELLM.tokenizers:
        known = ", ".join(ONELLM.modalities)
        raise InputError(f"{case.name}: its entry names no modality (modal='…') of {known}")
    return found[1]


def _prepared(size: Tokenizing, x: Array) -> tuple[Array, Arrays]:
    """Group points around the farthest; everything else is prepared already."""
    if not isinstance(size, PointGroups):
        return x, {}
    points = x[0]
    record = ColouredPoints(count=len(points), groups=size.groups, neighbours=size.neighbours)
    centres, near = groups(points, record)
    return points[near][None], {"fps_idx": centres[None], "knn_idx": near[None]}


def _weighted(weights: Array, latents: Array) -> Arrays:
    return {
        "router_weights": weights.T,
        "mixed_before_proj2": (weights * latents).sum(0, keepdims=True),
    }


def _cut(count: int, features: Array, sequence: Array) -> Arrays:
    whole, projected = features.mean(0, keepdims=True), sequence[:, count:]
    return {
        "clip_feats_first16": whole[:, :FIRST],
        "clip_feats_last4": whole[:, -LAST:],
        "proj1_first16": projected[:, :FIRST],
    }


def _shared(kind: str, module: nn.Module, config: OneLLMConfig, launch: Launch) -> Run:
    """Launch a part that all modalities share once, as long as its sizes and weights are the same.

    To export the experts takes most of a small case's time.
    """
    key = (kind, launch, config.clip, config.experts, _sum(module))
    if key not in LAUNCHED:
        while len(LAUNCHED) >= KEPT:
            del LAUNCHED[next(iter(LAUNCHED))]
        LAUNCHED[key] = launch(SHARED[kind](module, config))
    return LAUNCHED[key]


def _sum(module: nn.Module) -> int:
    """Sum up the weights, so that others have another sum."""
    total = 0
    for each in module.state_dict().values():
        total = zlib.crc32(each.numpy(), total)
    return total


def _trunk(module: nn.Module, config: OneLLMConfig) -> Stage:
    frames, tokens = Axis(name="frames", low=1, high=64), Axis(name="tokens", low=2, high=4096)
    return _open(module, (frames, tokens, _width(config)), torch.ones(2, 3, config.clip.width))


def _experts(module: nn.Module, config: OneLLMConfig) -> Stage:
    least, width = config.experts.latents + 1, config.clip.width
    one, sequence = Axis(name="one", low=1, high=1), Axis(name="sequence", low=least, high=4096)
    return _open(module, (one, sequence, _width(config)), torch.ones(1, least + 2, width))


SHARED: dict[str, Callable[[Any, OneLLMConfig], Stage]] = {"trunk": _trunk, "experts": _experts}
LAUNCHED: dict[tuple[object, ...], Run] = {}
KEPT = 4  # two parts, in PyTorch and as a graph


def _width(config: OneLLMConfig) -> Axis:
    return Axis(name="width", low=config.clip.width, high=config.clip.width)


def _open(module: nn.Module, axes: tuple[Axis, ...], probe: Tensor) -> Stage:
    """Make a stage that takes any number of frames or tokens."""
    return Stage(
        name=type(module).__name__,
        role="encoder",
        module=module,
        inputs=(Port(name="x", dtype="float32", axes=axes),),
        outputs=(Port(name="y", dtype="float32", axes=()),),
        probes=({"x": probe},),
    )
