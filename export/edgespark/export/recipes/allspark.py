"""AllSpark: one encoder and one bridge per sensor, one LLM, one task head per modality."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from edgespark.calibration.samples import SampleSet
from edgespark.export.blueprint import Blueprint
from edgespark.export.evaluate import held_out_dialogues
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.models.tiny import TINY
from edgespark.export.recipes.stages import stages
from edgespark.export.sequences import Writer
from edgespark.export.weights import SHIPPED, Checkpoint, checkpoint
from edgespark.export.worlds.dataset import Scenes, make
from edgespark.export.worlds.sensors import SENSORS
from edgespark.runtime.errors import UnknownModality
from edgespark.runtime.manifest import File, Head, Language, Route, Score, Wire
from edgespark.runtime.preprocessing import Text

CONFIGS = {"allspark-tiny": TINY}
SAMPLE_STREAM, SAMPLE_COUNT = 3, 200
TEXT_TOKENS = 128


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model of that name; see edgespark.export.recipes.Recipe."""
    config = CONFIGS[name]
    chosen = choose(config, modalities)
    model = AllSpark(config)
    source = checkpoint(folder or SHIPPED / name)
    source.fill(model)
    writer = Writer(config, source.tokenizer)
    scenes = make(SAMPLE_STREAM, 0, SAMPLE_COUNT)
    with torch.no_grad():
        parts = stages(model, writer, scenes, chosen)
    return Blueprint(
        name=name,
        licence="Apache-2.0",
        stages=parts,
        routes=tuple(route(config, modality) for modality in chosen),
        tokenizer=source.tokenizer.to_str(pretty=False).encode(),
        language=partial(language, config, writer),
        samples=tuple(samples(scenes, modality) for modality in chosen),
        card=source.card,
        scores=scores(source, chosen),
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
    layout = config.layout
    head = Head(
        part=f"head_{modality}", task="classification", prompt=layout.head, labels=config.labels
    )
    if modality in config.texts:
        return Route(
            modality=modality,
            preprocessing=Text(max_tokens=TEXT_TOKENS),
            wires=(Wire(source="ids", target="embedder.input_ids"),),
            output="embedder.embeds",
            prompt=layout.modality[modality],
            head=head,
        )
    encoder, bridge = f"encoder_{modality}", f"bridge_{modality}"
    return Route(
        modality=modality,
        preprocessing=SENSORS[modality],
        wires=(
            Wire(source="pixels", target=f"{encoder}.pixels"),
            Wire(source=f"{encoder}.tokens", target=f"{bridge}.media"),
        ),
        output=f"{bridge}.tokens",
        prompt=layout.modality[modality],
        head=head,
    )


def language(config: AllSparkConfig, writer: Writer, tokenizer: File) -> Language:
    """Describe the LLM's side of the prompt."""
    return Language(
        tokenizer=tokenizer,
        embedder="embedder",
        decoder="decoder",
        context=config.llm.context,
        begin=(writer.begin,),
        end=(writer.end,),
        template=config.layout.template,
        question=config.layout.question,
    )


def samples(scenes: Scenes, modality: str) -> SampleSet:
    """Give held-out scenes as one modality shows them, with the question asked about each."""
    talks = held_out_dialogues(scenes.label.tolist())
    return SampleSet(
        modality=modality,
        input=getattr(scenes, modality),
        label=scenes.label,
        question=np.array([talk.question for talk in talks]),
        answer=np.array([talk.answer for talk in talks]),
    )


def scores(source: Checkpoint, chosen: tuple[str, ...]) -> tuple[Score, ...]:
    """Give the scores that the weights had when they were trained, for each modality alone."""
    return tuple(
        Score(
            modality=each.modalities[0],
            task=task,
            metric="accuracy",
            higher_is_better=True,
            n=each.n,
            values={"fp32": share},
        )
        for each in source.scores.judgements
        if len(each.modalities) == 1 and each.modalities[0] in chosen
        for task, share in (("head", each.head), ("answer", each.answer))
    )
