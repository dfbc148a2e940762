"""One's own modality on top of a model that is there: an encoder, and perhaps a head."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import Perceiver, Task
from edgespark.export.recipes import recipe
from edgespark.export.recipes.decoders import BATCH, port
from edgespark.export.recipes.modality import LEAST, Modality
from edgespark.export.recipes.routes import head, sensor_wires
from edgespark.export.stage import Stage
from edgespark.runtime._check_heads import ANCHORS
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Head, Port, Route
from edgespark.runtime.starts import starts

__all__ = ["FRESH", "Modality", "add", "extend"]

FRESH = Perceiver(latents=8, depth=2, heads=4, head_dim=32, multiple=2)
SEED = 0
RANK = 3  # [batch, tokens, channels]
PROBES = (slice(LEAST), slice(-1, None), slice(None))


def add(
    base: str, modality: Modality, folder: Path | None, modalities: tuple[str, ...]
) -> Blueprint:
    """Make a recipe's blueprint with the modality added; `modalities` choose among all of them.

    `base` and `folder` are the recipe's name and weights; see edgespark.export.recipes.Recipe.
    """
    others = tuple(name for name in modalities if name != modality.name)
    made = recipe(base).blueprint(base, folder, others)
    if modalities and not others:
        made = _without_routes(made)
    return extend(made, modality) if not modalities or modality.name in modalities else made


def extend(base: Blueprint, modality: Modality) -> Blueprint:
    """Add the modality's encoder, bridge, head and route to a blueprint, and its name to the name.

    InputError where its parts and examples do not fit each other, its record, or the base.
    """
    problems = list(modality.problems())
    if modality.name in {route.modality for route in base.routes}:
        problems.append(f"{base.name} already has a modality of that name")
    if problems:
        raise _error(modality, "; ".join(problems))
    decoder = next(each for each in base.stages if each.role == "decoder")
    width = decoder.inputs[0].axes[-1].high
    with torch.no_grad():
        encoder = _encoder(modality)
        bridge = _bridge(modality, encoder, width)
    heads = () if modality.task is None else (_head(modality, modality.task, decoder),)
    return replace(
        base,
        name=f"{base.name}+{modality.name}",
        stages=(encoder, bridge, *base.stages, *heads),
        routes=(*base.routes, _route(modality, encoder, bridge)),
        card=base.card + CARD.format(modality=modality.name).encode(),
    )


CARD = """
## Added: {modality}

This modality was added by a recipe; nothing above was measured with it.
"""


def _without_routes(base: Blueprint) -> Blueprint:
    stages = tuple(each for each in base.stages if each.role in ("embedder", "decoder"))
    return replace(base, stages=stages, routes=(), samples=(), scores=())


def _error(modality: Modality, text: str) -> InputError:
    return InputError(f"modality {modality.name!r}: {text}")


def _encoder(modality: Modality) -> Stage:
    inputs = tuple(
        Port(name=each.name, dtype=each.dtype, axes=(BATCH, *each.axes[1:]))
        for each in starts(modality.record)
    )
    names = [each.name for each in inputs]
    tokens = _tokens(modality, "encoder", modality.encoder, modality.examples)
    return Stage(
        name=f"encoder_{modality.name}",
        role="encoder",
        module=modality.encoder.eval(),
        inputs=inputs,
        outputs=(
            port("tokens", BATCH, ("tokens", tokens.shape[1]), ("channels", tokens.shape[2])),
        ),
        probes=tuple(
            dict(zip(names, (each[rows] for each in modality.examples), strict=True))
            for rows in PROBES
        ),
        graph=modality.graph,
    )


def _bridge(modality: Modality, encoder: Stage, width: int) -> Stage:
    (_, count, channels) = encoder.outputs[0].axes
    module = modality.bridge
    if module is None:
        module = _fresh(lambda: Bridge(channels.high, width, FRESH))
    media = [encoder.module(*probe.values()) for probe in encoder.probes]
    tokens = _tokens(modality, "bridge", module, (media[-1],))
    if tokens.shape[2] != width:
        raise _error(modality, f"the bridge gives {tokens.shape[2]} channels; the LLM has {width}")
    return Stage(
        name=f"bridge_{modality.name}",
        role="bridge",
        module=module.eval(),
        inputs=(Port(name="media", dtype="float32", axes=(BATCH, count, channels)),),
        outputs=(port("tokens", BATCH, ("latents", tokens.shape[1]), ("width", width)),),
        probes=tuple({"media": each} for each in media),
    )


def _head(modality: Modality, task: Task, decoder: Stage) -> Stage:
    _, selected, channels = decoder.outputs[0].axes
    width = channels.high
    module = modality.head
    if module is None:
        module = _fresh(lambda: nn.Linear(width, task.outputs))
    hidden = torch.randn(LEAST, LEAST, width, generator=torch.Generator().manual_seed(SEED))
    scores = _run(modality, "head", module, (hidden,))
    if scores.shape != (LEAST, LEAST, task.outputs):
        found = list(scores.shape[2:])
        raise _error(modality, f"the head gives {found} values; the task has {task.outputs}")
    return Stage(
        name=f"head_{modality.name}",
        role="head",
        module=module.eval(),
        inputs=(decoder.outputs[0],),
        outputs=(port("scores", BATCH, selected, ("classes", task.outputs)),),
        probes=({"hidden": hidden}, {"hidden": hidden[:1, :1]}),
    )


def _route(modality: Modality, encoder: Stage, bridge: Stage) -> Route:
    wires, output = sensor_wires(modality.record, encoder.name, bridge.name)
    task = modality.task
    return Route(
        modality=modality.name,
        preprocessing=modality.record,
        wires=wires,
        output=output,
        prompt=modality.prompt,
        question=task.question if task else "",
        head=_told(modality, task) if task else None,
    )


def _told(modality: Modality, task: Task) -> Head:
    made = head(modality.name, task)
    return replace(made, anchored=made.anchored and type(modality.record) in ANCHORS)


def _fresh(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a module with random weights, the same ones each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return make()


def _tokens(modality: Modality, what: str, module: nn.Module, arrays: tuple[Tensor, ...]) -> Tensor:
    """Run an encoder or a bridge; InputError where it gives no finite tokens for each sample."""
    found = _run(modality, what, module, arrays)
    count = len(arrays[0])
    if found.ndim != RANK or len(found) != count or found.dtype != torch.float32:
        given = f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)}"
        raise _error(
            modality, f"the {what} gives {given}; expected float32 [{count}, tokens, channels]"
        )
    if not found.isfinite().all():
        raise _error(modality, f"the {what} gives values that are not finite")
    return found


def _run(modality: Modality, what: str, module: nn.Module, arrays: tuple[Tensor, ...]) -> Tensor:
    try:
        with torch.no_grad():
            found = module.eval()(*arrays)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise _error(modality, f"the {what} cannot run on the examples: {error}") from error
    if not isinstance(found, Tensor):
        raise _error(modality, f"the {what} gives a {type(found).__name__}; expected a tensor")
    return found
