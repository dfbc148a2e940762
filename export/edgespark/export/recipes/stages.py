"""The parts of an AllSpark model as stages: modules, ports, and probes from held-out scenes."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import Llama
from edgespark.export.objectives import normalise
from edgespark.export.sequences import SLOT, Writer
from edgespark.export.stage import Stage
from edgespark.export.worlds.dataset import Scenes
from edgespark.runtime.manifest import Axis, DType, Port, State

BATCH = Axis(name="batch", low=1, high=64)


def stages(
    model: AllSpark, writer: Writer, scenes: Scenes, modalities: tuple[str, ...]
) -> tuple[Stage, ...]:
    """Give every stage that these modalities need, in the order of the chain."""
    sensors = [name for name in modalities if name in model.config.encoders]
    perceived = [stage for name in sensors for stage in _perception(model, scenes, name)]
    embedder = _embedder(model, writer, scenes)
    decoder = _decoder(model, writer, scenes, sensors)
    hidden = _hidden(model, decoder)
    heads = [_head(model, name, hidden) for name in modalities]
    return (*perceived, embedder, decoder, *heads)


def port(name: str, *axes: Axis | tuple[str, int], dtype: DType = "float32") -> Port:
    """Make a port; an axis given as (name, size) is static."""
    made = [axis if isinstance(axis, Axis) else _static(*axis) for axis in axes]
    return Port(name=name, dtype=dtype, axes=tuple(made))


def _static(name: str, size: int) -> Axis:
    return Axis(name=name, low=size, high=size)


def _perception(model: AllSpark, scenes: Scenes, name: str) -> Iterator[Stage]:
    config, bridge = model.config.encoders[name], model.config.bridge
    side = config.size
    pixels = torch.from_numpy(normalise(name, getattr(scenes, name)[:5]))
    probes = (pixels[:2], pixels[2:3], pixels[2:])
    tokens = port("tokens", BATCH, ("tokens", config.tokens), ("channels", config.width))
    yield Stage(
        name=f"encoder_{name}",
        role="encoder",
        module=model.encoders[name],
        inputs=(port("pixels", BATCH, ("bands", config.bands), ("rows", side), ("columns", side)),),
        outputs=(tokens,),
        probes=tuple({"pixels": each} for each in probes),
    )
    media = [model.encoders[name](each) for each in probes]
    latents = ("latents", bridge.latents)
    yield Stage(
        name=f"bridge_{name}",
        role="bridge",
        module=model.bridges[name],
        inputs=(Port(name="media", dtype="float32", axes=tokens.axes),),
        outputs=(port("tokens", BATCH, latents, ("width", model.config.llm.width)),),
        probes=tuple({"media": each} for each in media),
    )


def _sequence(config: Llama) -> Axis:
    return Axis(name="sequence", low=1, high=config.context)


def _embedder(model: AllSpark, writer: Writer, scenes: Scenes) -> Stage:
    config = model.config.llm
    ids = torch.tensor([writer.encode(str(scenes.language[0]))[:8] for _ in range(2)])
    ids[1] = ids[1].flip(0)
    return Stage(
        name="embedder",
        role="embedder",
        module=model.LLM.model.embed_tokens,
        inputs=(port("input_ids", BATCH, _sequence(config), dtype="int64"),),
        outputs=(port("embeds", BATCH, _sequence(config), ("width", config.width)),),
        probes=({"input_ids": ids}, {"input_ids": ids[:1, :1]}),
    )


def _decoder(model: AllSpark, writer: Writer, scenes: Scenes, sensors: list[str]) -> Stage:
    config = model.config.llm
    selected = Axis(name="selected", low=1, high=config.context)
    sequence, width = _sequence(config), ("width", config.width)
    embeds = _prompts(model, writer, scenes, sensors)
    return Stage(
        name="decoder",
        role="decoder",
        module=model.LLM,
        inputs=(
            port("inputs_embeds", BATCH, sequence, width),
            port("position_ids", BATCH, sequence, dtype="int64"),
            port("select", selected, dtype="int64"),
        ),
        outputs=(
            port("hidden", BATCH, selected, width),
            port("logits", BATCH, selected, ("vocabulary", config.vocabulary)),
        ),
        states=tuple(_states(config)),
        probes=(
            _stretch(model, embeds, past=7, select=[2, 4]),
            _stretch(model, embeds[:1], past=0, select=[embeds.shape[1] - 1]),
            _stretch(model, embeds[:1], past=embeds.shape[1] - 1, select=[0]),
        ),
    )


def _states(config: Llama) -> Iterator[State]:
    past = Axis(name="past", low=0, high=config.context - 1)
    rest = (BATCH, ("heads", config.heads), ("head_dim", config.head_dim))
    for layer in range(config.depth):
        for kind in ("key", "value"):
            yield State(
                past=port(f"past.{kind}.{layer}", past, *rest),
                new=port(f"new.{kind}.{layer}", _sequence(config), *rest),
            )


def _prompts(model: AllSpark, writer: Writer, scenes: Scenes, sensors: list[str]) -> Tensor:
    """Embed two whole prompts, of different scenes, as the runtime would."""
    ids = [writer.begin]
    for name in sensors:
        ids += writer.block(name, None)
    asked = torch.tensor([ids + writer.ask(model.config.layout.question)] * 2)
    embeds = model.embed(asked.clamp(min=0))
    if not sensors:
        return embeds
    pixels = [torch.from_numpy(normalise(name, getattr(scenes, name)[:2])) for name in sensors]
    tokens = [model.perceive(*pair) for pair in zip(sensors, pixels, strict=True)]
    return embeds.masked_scatter((asked == SLOT).unsqueeze(-1), torch.cat(tokens, 1))


def _stretch(model: AllSpark, embeds: Tensor, past: int, select: list[int]) -> dict[str, Tensor]:
    """Make the decoder's inputs for the rows after the first `past`, whose state is computed."""
    batch, length = embeds.shape[:2]
    positions = torch.arange(length).expand(batch, length).contiguous()
    state = model.LLM.empty_past(batch)
    if past:
        first = torch.arange(1)
        _, _, state = model.LLM(embeds[:, :past], positions[:, :past], first, state)
    names = [each.past.name for each in _states(model.config.llm)]
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
        outputs=(port("scores", BATCH, selected, ("classes", len(config.labels))),),
        probes=tuple({"hidden": each} for each in hidden),
    )
