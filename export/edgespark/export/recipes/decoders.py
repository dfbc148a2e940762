"""The ports of an LLM of any size, and its two stages where its weights are read one by one."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import Axis, DType, Port, State

BATCH = Axis(name="batch", low=1, high=64)
EMBEDDINGS = "model.embed_tokens."
PROBES = ((2, 3, 5), (1, 6, 0), (1, 1, 7))  # sequences, new positions and past ones of each probe


def port(name: str, *axes: Axis | tuple[str, int], dtype: DType = "float32") -> Port:
    """Make a port; an axis given as (name, size) is static."""
    made = [axis if isinstance(axis, Axis) else _static(*axis) for axis in axes]
    return Port(name=name, dtype=dtype, axes=tuple(made))


def _static(name: str, size: int) -> Axis:
    return Axis(name=name, low=size, high=size)


def sequence(config: Llama) -> Axis:
    """Return the axis of positions."""
    return Axis(name="sequence", low=1, high=config.context)


def embedder_ports(config: Llama) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return what the embedder takes and gives."""
    ids = port("input_ids", BATCH, sequence(config), dtype="int64")
    return (ids,), (port("embeds", BATCH, sequence(config), ("width", config.width)),)


def decoder_ports(config: Llama) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return what the decoder takes and gives beside its states."""
    selected, width = Axis(name="selected", low=1, high=config.context), ("width", config.width)
    inputs = (
        port("inputs_embeds", BATCH, sequence(config), width),
        port("position_ids", BATCH, sequence(config), dtype="int64"),
        port("select", selected, dtype="int64"),
    )
    outputs = (
        port("hidden", BATCH, selected, width),
        port("logits", BATCH, selected, ("vocabulary", config.vocabulary)),
    )
    return inputs, outputs


def states(config: Llama) -> Iterator[State]:
    """Give the keys and values of each layer in turn."""
    past = Axis(name="past", low=0, high=config.context - 1)
    rest = (BATCH, ("heads", config.heads), ("head_dim", config.head_dim))
    for layer in range(config.depth):
        for kind in ("key", "value"):
            yield State(
                past=port(f"past.{kind}.{layer}", past, *rest),
                new=port(f"new.{kind}.{layer}", sequence(config), *rest),
            )


def streamed(decoder: LlamaDecoder, weights: Callable[[str], Tensor]) -> tuple[Stage, Stage]:
    """Give the embedder and the decoder of an LLM on the meta device; see `Stage.weights`."""
    inputs, outputs = embedder_ports(decoder.config)
    ids = torch.arange(16).reshape(2, 8) % decoder.config.vocabulary
    embedder = Stage(
        name="embedder",
        role="embedder",
        module=decoder.model.embed_tokens,
        weights=lambda name: weights(EMBEDDINGS + name),
        inputs=inputs,
        outputs=outputs,
        probes=({"input_ids": ids}, {"input_ids": ids[:1, :1]}),
    )
    inputs, outputs = decoder_ports(decoder.config)
    return embedder, Stage(
        name="decoder",
        role="decoder",
        module=decoder,
        weights=weights,
        inputs=inputs,
        outputs=outputs,
        states=tuple(states(decoder.config)),
        probes=tuple(_probe(decoder.config, *sizes) for sizes in PROBES),
    )


def _probe(config: Llama, batch: int, new: int, past: int) -> dict[str, Tensor]:
    """Draw a stretch of embeddings and a past: standard normal, always the same."""
    generator = torch.Generator().manual_seed(past)
    kept = (past, batch, config.heads, config.head_dim)
    return {
        "inputs_embeds": torch.randn(batch, new, config.width, generator=generator),
        "position_ids": torch.arange(past, past + new).expand(batch, new).contiguous(),
        "select": torch.tensor(sorted({0, new - 1})),
        **{each.past.name: torch.randn(kept, generator=generator) for each in states(config)},
    }
