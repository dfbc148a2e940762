"""The parts of an AllSpark model as stages: modules, ports, and probes."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgespark.export.models.allspark import AllSpark
from edgespark.export.recipes.decoders import (
    BATCH,
    decoder_ports,
    embedder_ports,
    port,
    states,
)
from edgespark.export.sequences import SLOT, Writer
from edgespark.export.stage import Stage
from edgespark.runtime.manifest import Axis, Port
from edgespark.runtime.starts import starts

PROBES = (slice(2), slice(2, 3), slice(2, 5))
Probes: TypeAlias = Mapping[str, tuple[Tensor, ...]]


def stages(
    model: AllSpark, writer: Writer, probes: Probes, modalities: tuple[str, ...]
) -> tuple[Stage, ...]:
    """Give every stage that these modalities need, in the order of the chain.

    `probes` are five samples of each sensor, as its preparation gives them.
    """
    sensors = [name for name in modalities if name in model.config.encoders]
    encoders = [_encoder(model, name, probes[name]) for name in sensors]
    bridges = _bridges(model, dict(zip(sensors, encoders, strict=True)))
    decoder = _decoder(model, writer, probes, sensors)
    hidden = _hidden(model, decoder)
    heads = [_head(model, name, hidden) for name in modalities if name in model.config.tasks]
    return (*encoders, *bridges, _embedder(model, writer), decoder, *heads)


def _encoder(model: AllSpark, name: str, arrays: tuple[Tensor, ...]) -> Stage:
    config = model.config.encoders[name]
    inputs = tuple(
        Port(name=each.name, dtype=each.dtype, axes=(BATCH, *each.axes[1:]))
        for each in starts(model.config.records[name])
    )
    names = [each.name for each in inputs]
    tokens = port("tokens", BATCH, ("tokens", config.tokens), ("channels", config.width))
    return Stage(
        name=f"encoder_{name}",
        role="encoder",
        module=model.encoder(name).eval(),
        inputs=inputs,
        outputs=(tokens,),
        probes=tuple(
            dict(zip(names, (each[rows] for each in arrays), strict=True)) for rows in PROBES
        ),
    )


def _bridges(model: AllSpark, encoders: Mapping[str, Stage]) -> list[Stage]:
    """Make one bridge per owner; where it serves several modalities, its tokens may be as many."""
    users: dict[str, list[str]] = {}
    for name in encoders:
        users.setdefault(model.config.owner(name), []).append(name)
    made = []
    for owner, names in users.items():
        counts = [model.config.encoders[name].tokens for name in names]
        media = [
            encoders[name].module(*probe.values())
            for name in names
            for probe in encoders[name].probes
        ]
        axis = Axis(name="tokens", low=min(counts), high=max(counts))
        width = model.config.encoders[owner].width
        latents = ("latents", model.config.bridge.latents)
        made.append(
            Stage(
                name=f"bridge_{owner}",
                role="bridge",
                module=model.bridges[owner],
                inputs=(port("media", BATCH, axis, ("channels", width)),),
                outputs=(port("tokens", BATCH, latents, ("width", model.config.llm.width)),),
                probes=tuple({"media": each} for each in media),
            )
        )
    return made


def _embedder(model: AllSpark, writer: Writer) -> Stage:
    inputs, outputs = embedder_ports(model.config.llm)
    ids = torch.tensor([writer.ask("Is it so that this is a question?")[:8]] * 2)
    ids[1] = ids[1].flip(0)
    return Stage(
        name="embedder",
        role="embedder",
        module=model.LLM.model.embed_tokens,
        inputs=inputs,
        outputs=outputs,
        probes=({"input_ids": ids}, {"input_ids": ids[:1, :1]}),
    )


def _decoder(model: AllSpark, writer: Writer, probes: Probes, sensors: list[str]) -> Stage:
    inputs, outputs = decoder_ports(model.config.llm)
    embeds = _prompts(model, writer, probes, sensors)
    return Stage(
        name="decoder",
        role="decoder",
        module=model.LLM,
        inputs=inputs,
        outputs=outputs,
        states=tuple(states(model.config.llm)),
        probes=(
            _stretch(model, embeds, past=7, select=[2, 4]),
            _stretch(model, embeds[:1], past=0, select=[embeds.shape[1] - 1]),
            _stretch(model, embeds[:1], past=embeds.shape[1] - 1, select=[0]),
        ),
    )


def _prompts(model: AllSpark, writer: Writer, probes: Probes, sensors: list[str]) -> Tensor:
    """Embed two whole prompts, of different samples, as the runtime would."""
    ids = [writer.begin]
    for name in sensors:
        ids += writer.block(name, None)
    asked = torch.tensor([ids + writer.ask(model.config.question)] * 2)
    embeds = model.embed(asked.clamp(min=0))
    if not sensors:
        return embeds
    tokens = [model.perceive(name, *(each[:2] for each in probes[name])) for name in sensors]
    return embeds.masked_scatter((asked == SLOT).unsqueeze(-1), torch.cat(tokens, 1))


def _stretch(model: AllSpark, embeds: Tensor, past: int, select: list[int]) -> dict[str, Tensor]:
    """Make the decoder's inputs for the rows after the first `past`, whose state is computed."""
    batch, length = embeds.shape[:2]
    positions = torch.arange(length).expand(batch, length).contiguous()
    state = model.LLM.empty_past(batch)
    if past:
        first = torch.arange(1)
        _, _, state = model.LLM(embeds[:, :past], positions[:, :past], first, state)
    names = [each.past.name for each in states(model.config.llm)]
    return {
        "inputs_embeds": embeds[:, past:].contiguous(),
        "position_ids": positions[:, past:].contiguous(),
        "select": torch.tensor(select),
        **dict(zip(names, (each.contiguous() for each in state), strict=True)),
    }


def _hidden(model: AllSpark, decoder: Stage) -> list[Tensor]:
    found = []
    for probe in decoder.probes:
        plain = [probe[each.name] for each in decoder.inputs]
        past = [probe[each.past.name] for each in decoder.states]
        found.append(model.LLM(*plain, past)[0])
    return found


def _head(model: AllSpark, name: str, hidden: list[Tensor]) -> Stage:
    config = model.config
    selected = Axis(name="selected", low=1, high=config.llm.context)
    module: nn.Module = model.heads[name]
    return Stage(
        name=f"head_{name}",
        role="head",
        module=module,
        inputs=(port("hidden", BATCH, selected, ("width", config.llm.width)),),
        outputs=(port("scores", BATCH, selected, ("classes", config.tasks[name].outputs)),),
        probes=tuple({"hidden": each} for each in hidden),
    )
