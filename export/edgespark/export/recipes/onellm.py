"""onellm-7b: eight modalities through one trunk, from a checkpoint in the released format."""

from pathlib import Path

from edgespark.export.blueprint import Blueprint
from edgespark.export.checkpoints.stored import Stored, open_checkpoint
from edgespark.export.checkpoints.strict import check_names
from edgespark.export.checkpoints.vocabulary import tokenizer_beside
from edgespark.export.models.onellm.config import ONELLM, OneLLMConfig
from edgespark.export.models.onellm.names import checkpoint_shapes, unused
from edgespark.export.recipes.onellm_routes import language, route
from edgespark.export.recipes.onellm_stages import stages
from edgespark.runtime.errors import UnknownModality, UsageError

CONFIGS = {ONELLM.name: ONELLM}


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model from a checkpoint: a file, or a folder of shards, with the tokenizer beside.

    UsageError where none is given; see edgespark.export.recipes.Recipe.
    """
    if folder is None:
        raise UsageError(
            f"{name} ships no weights; give --checkpoint with the released file, or its folder"
        )
    return onellm_blueprint(CONFIGS[name], folder, modalities)


def onellm_blueprint(config: OneLLMConfig, where: Path, modalities: tuple[str, ...]) -> Blueprint:
    """Make a model of these sizes from a checkpoint, whose tensors are read when they are needed.

    Raises InputError, which lists all tensors that are missing, unexpected or misshapen, or
    MissingInput, for what is wrong with the checkpoint or its tokenizer.
    """
    chosen = _chosen(config, modalities)
    stored = open_checkpoint(where)
    check_names(stored, checkpoint_shapes(config), unused, where)
    tokenizer = tokenizer_beside(where, config.llm.vocabulary)
    return Blueprint(
        name=config.name,
        licence="LicenseRef-Llama-2-Community",
        stages=stages(config, stored.tensor, chosen),
        routes=tuple(route(modality) for modality in chosen),
        tokenizer=tokenizer.to_str(pretty=False).encode(),
        language=language(config, tokenizer),
        samples=(),
        card=card(config, stored).encode(),
        scores=(),
        precisions=("fp16",),
        fingerprint=stored.fingerprint,
    )


def _chosen(config: OneLLMConfig, modalities: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in modalities if name not in config.modalities]:
        told, known = ", ".join(map(repr, unknown)), ", ".join(config.modalities)
        raise UnknownModality(f"{config.name} has no {told}; it has: {known}")
    return tuple(name for name in config.modalities if name in (modalities or config.modalities))


def card(config: OneLLMConfig, stored: Stored) -> str:
    """Write the card in Markdown."""
    return CARD.format(name=config.name, tensors=len(stored.shapes))


CARD = """\
# {name}

OneLLM (csuhan/OneLLM, arXiv 2312.03700): image, video, audio, point cloud, depth, normals, fMRI and
IMU through one CLIP trunk, three experts and LLaMA2-7B, exported from a checkpoint of {tensors}
tensors that whoever made this bundle gave. The licence of the checkpoint applies (Llama 2
Community). It has no task heads, no samples and no scores.

- The trunk and the experts are parts of their own, which all modalities share; the router's weights
  do not depend on the input, and are constants of each modality's bridge.
- Answers are decoded with the right positions. `decoding="released"` gives those of the released
  code, whose first two new tokens write over the last two positions of the prompt.
- The template is that of the released conversation; an answer ends before `###`.
"""
