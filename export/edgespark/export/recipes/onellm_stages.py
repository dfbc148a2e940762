"""OneLLM's parts as stages: modules without weights, where their weights are, and probes."""

from collections.abc import Callable, Iterator
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from edgespark.export.models.llama import LlamaDecoder, rotations
from edgespark.export.models.onellm.config import OneLLMConfig, Patches
from edgespark.export.models.onellm.parts import make
from edgespark.export.models.onellm.sources import Source, sources
from edgespark.export.recipes.decoders import port, streamed
from edgespark.export.recipes.onellm_routes import RECORDS
from edgespark.export.stage import Stage
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Axis, Port, Role
from edgespark.runtime.starts import starts

Read: TypeAlias = Callable[[str], Tensor]
Shape: TypeAlias = tuple[int, ...]


def stages(config: OneLLMConfig, read: Read, modalities: tuple[str, ...]) -> tuple[Stage, ...]:
    """Give every stage that these modalities need; those that all share come last.

    `read` gives a tensor of the checkpoint by its name without prefix.
    """
    parts = _Parts(config, read)
    own = [stage for modality in modalities for stage in parts.own(modality)]
    return (*own, *parts.shared(modalities))


class _Parts:
    """Makes stages of one model's parts."""

    def __init__(self, config: OneLLMConfig, read: Read) -> None:
        self._config, self._read = config, read
        self._latents = ("latents", config.experts.latents)
        self._channels = ("channels", config.clip.width)

    def own(self, modality: str) -> Iterator[Stage]:
        """Give a modality's tokenizer, projection and bridge."""
        config, latents, channels = self._config, self._latents, self._channels
        frames, tokens = _frames(config, modality), config.tokenizers[modality].tokens
        features = (("frames", frames), ("tokens", tokens), channels)
        rows = (("batch", 1), ("rows", latents[1] + tokens), channels)
        yield self._stage(
            f"encoder_{modality}",
            f"tokenizer.{modality}",
            starts(RECORDS[modality]),
            port("tokens", *features),
        )
        yield self._stage(
            f"projection_{modality}",
            f"projection.{modality}",
            (port("media", *features),),
            port("tokens", *rows),
        )
        yield self._stage(
            f"bridge_{modality}",
            f"bridge.{modality}",
            (port("media", ("experts", config.experts.count), latents, channels),),
            port("tokens", ("batch", 1), ("tokens", config.tokens), ("width", config.llm.width)),
        )

    def shared(self, modalities: tuple[str, ...]) -> Iterator[Stage]:
        """Give the trunk, the experts and the LLM."""
        config, latents, channels = self._config, self._latents, self._channels
        counts = [config.tokenizers[modality].tokens for modality in modalities]
        most = max(_frames(config, modality) for modality in modalities)
        frames = Axis(name="frames", low=1, high=most)
        tokens = Axis(name="tokens", low=min(counts), high=max(counts))
        rows = Axis(name="rows", low=latents[1] + tokens.low, high=latents[1] + tokens.high)
        experts = ("experts", config.experts.count)
        media = port("media", frames, tokens, channels)
        through = port("tokens", frames, tokens, channels)
        yield self._stage("trunk", "trunk", (media,), through)
        mixture = port("media", ("batch", 1), rows, channels)
        yield self._stage(
            "experts", "experts", (mixture,), port("tokens", experts, latents, channels)
        )
        weights = self._weights("llm")
        yield from streamed(cast("LlamaDecoder", _bare(config, "llm", weights)), weights)

    def _stage(self, name: str, part: str, inputs: tuple[Port, ...], output: Port) -> Stage:
        weights = self._weights(part)
        return Stage(
            name=name,
            role=ROLES[part.partition(".")[0]],
            module=_bare(self._config, part, weights),
            weights=weights,
            inputs=inputs,
            outputs=(output,),
            probes=tuple(_probes(inputs)),
        )

    def _weights(self, part: str) -> Read:
        known = sources(self._config, part)
        return lambda name: _made(known[name], self._read)


def _made(source: Source, read: Read) -> Tensor:
    """Make a weight; InputError where what is computed of several tensors is no number."""
    made = source.make(*map(read, source.names))
    if len(source.names) > 1 and not made.isfinite().all():
        told = ", ".join(source.names)
        raise InputError(f"NaN or infinity comes of {told}: one of them holds it, or is too large")
    return made


ROLES: dict[str, Role] = {
    "tokenizer": "encoder",
    "projection": "bridge",
    "bridge": "bridge",
    "trunk": "encoder",
    "experts": "bridge",
}


def _frames(config: OneLLMConfig, modality: str) -> int:
    size = config.tokenizers[modality]
    return max(size.frames, 1) if isinstance(size, Patches) else 1


def _bare(config: OneLLMConfig, part: str, weights: Read) -> nn.Module:
    """Make a part without its parameters; its buffers, which are small, are real."""
    with torch.device("meta"):
        module = make(config, part)
    if isinstance(module, LlamaDecoder):
        module.cos, module.sin = rotations(config.llm)
    for name in module.state_dict().keys() - dict(module.named_parameters()).keys():
        setattr(module, name, weights(name))
    return module.eval()


def _probes(inputs: tuple[Port, ...]) -> Iterator[dict[str, Tensor]]:
    """Draw standard normal inputs, always the same: small ones, then the largest of one frame."""
    for seed, least in enumerate((2, 1)):
        generator = torch.Generator().manual_seed(seed)
        sizes = {port.name: [_size(axis, least) for axis in port.axes] for port in inputs}
        yield {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def _size(axis: Axis, least: int) -> int:
    """Choose a size: the tracer takes an axis of one for a constant."""
    small = max(axis.low, min(least, axis.high))
    return small if least > 1 or axis.name == "frames" else axis.high
