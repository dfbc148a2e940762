"""The blueprint of an AllSpark model of any size: its routes, its heads, its language."""

from functools import partial

import torch
from tokenizers import Tokenizer

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig, Task
from edgespark.export.recipes.stages import Probes, stages
from edgespark.export.sequences import Writer
from edgespark.runtime.errors import UnknownModality
from edgespark.runtime.manifest import File, Head, Language, Route, Wire
from edgespark.runtime.preprocessing import Preprocessing
from edgespark.runtime.starts import starts


def chain(
    model: AllSpark,
    tokenizer: Tokenizer,
    probes: Probes,
    chosen: tuple[str, ...],
    card: bytes,
) -> Blueprint:
    """Make the blueprint of a model in its evaluation mode, without samples and scores.

    `probes` are five samples of each chosen sensor, as its preparation gives them. InputError where
    the tokenizer is not one of this model's.
    """
    config, writer = model.config, Writer(model.config, tokenizer)
    with torch.no_grad():
        parts = stages(model, writer, probes, chosen)
    return Blueprint(
        name=config.name,
        licence="Apache-2.0",
        stages=parts,
        routes=tuple(route(config, modality) for modality in chosen),
        tokenizer=tokenizer.to_str(pretty=False).encode(),
        language=partial(language, config, writer),
        samples=(),
        card=card,
        scores=(),
    )


def choose(config: AllSparkConfig, modalities: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the modalities asked for, in the model's order; UnknownModality names the others."""
    unknown = [name for name in modalities if name not in config.modalities]
    if unknown:
        raise UnknownModality(
            f"{config.name} has no {', '.join(unknown)}; it has: {', '.join(config.modalities)}"
        )
    return tuple(name for name in config.modalities if name in (modalities or config.modalities))


def route(config: AllSparkConfig, modality: str) -> Route:
    """Wire a sensor through its encoder and bridge, and a text to the embedder."""
    wires, output = _wires(config, modality)
    task = config.tasks.get(modality)
    return Route(
        modality=modality,
        preprocessing=config.records[modality],
        wires=wires,
        output=output,
        prompt=config.prompts[modality],
        question=task.question if task else "",
        head=head(modality, task) if task else None,
    )


def head(modality: str, task: Task) -> Head:
    """Describe the head of a modality; a forecast is told relative to the input's anchor."""
    part = f"head_{modality}"
    if task.labels:
        return Head(part=part, task="classification", prompt=task.prompt, labels=task.labels)
    return Head(
        part=part,
        task="regression",
        prompt=task.prompt,
        shape=task.shape,
        scale=task.scale,
        unit=task.unit,
        anchored=True,
        metrics=task.metrics,
    )


def _wires(config: AllSparkConfig, modality: str) -> tuple[tuple[Wire, ...], str]:
    if modality in config.texts:
        return (Wire(source="ids", target="embedder.input_ids"),), "embedder.embeds"
    return sensor_wires(
        config.records[modality], f"encoder_{modality}", f"bridge_{config.owner(modality)}"
    )


def sensor_wires(record: Preprocessing, encoder: str, bridge: str) -> tuple[tuple[Wire, ...], str]:
    """Lead every prepared array into the encoder and its tokens over the bridge; name the end."""
    wires = [Wire(source=each.name, target=f"{encoder}.{each.name}") for each in starts(record)]
    wires.append(Wire(source=f"{encoder}.tokens", target=f"{bridge}.media"))
    return tuple(wires), f"{bridge}.tokens"


def language(config: AllSparkConfig, writer: Writer, tokenizer: File) -> Language:
    """Describe the LLM's side of the prompt."""
    return Language(
        tokenizer=tokenizer,
        embedder="embedder",
        decoder="decoder",
        context=config.llm.context,
        begin=(writer.begin,),
        end=(writer.end,),
        template=config.template,
        question=config.question,
    )
