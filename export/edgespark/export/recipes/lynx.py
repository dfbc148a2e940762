"""allspark-7b: Lynx, the backbone of AllSpark, from a checkpoint of its own.

The runtime's layout puts the begin token before the latents. The public code puts the latents
first; whether its texts began with that token is not to be seen in what is public.
"""

from pathlib import Path

from tokenizers import Tokenizer, normalizers

from edgespark.export.blueprint import Blueprint
from edgespark.export.lynx_checkpoint import lynx_model
from edgespark.export.models.config import AllSparkConfig
from edgespark.export.models.lynx import LYNX
from edgespark.export.recipes.drawn import drawn
from edgespark.export.recipes.routes import chain, choose
from edgespark.export.weights import TOKENIZER, tokenizer_from_bytes
from edgespark.runtime.errors import InputError, MissingInput, UsageError
from edgespark.runtime.paths import checked_file

CONFIGS = {"allspark-7b": LYNX}
TOKENIZER_LIMIT = 256 << 20
"""Bytes; those of the largest vocabularies in use have some 30 MiB."""


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model from a Lynx checkpoint; `folder` holds its weights and tokenizer.json.

    UsageError where no folder is given; see edgespark.export.recipes.Recipe.
    """
    if folder is None:
        raise UsageError(
            f"{name} ships no weights; give --checkpoint DIR with those of Lynx and {TOKENIZER}"
        )
    return lynx_blueprint(CONFIGS[name], folder, modalities)


def lynx_blueprint(config: AllSparkConfig, folder: Path, modalities: tuple[str, ...]) -> Blueprint:
    """Make a model of these sizes from a Lynx checkpoint, with random probes.

    Raises InputError or MissingInput for what is wrong with the folder.
    """
    chosen = choose(config, modalities)
    tokenizer = lower_casing(folder)
    model = lynx_model(config, folder)
    probes = {each: drawn(config.records[each]) for each in chosen if each in config.encoders}
    return chain(model, tokenizer, probes, chosen, CARD.format(name=config.name).encode())


def lower_casing(folder: Path) -> Tokenizer:
    """Read the tokenizer beside the weights, and let it lower-case all text, as Lynx does."""
    path = folder / TOKENIZER
    try:
        with checked_file(path).open("rb") as file:
            content = file.read(TOKENIZER_LIMIT + 1)
    except FileNotFoundError as error:
        raise MissingInput(f"checkpoint {folder}: no {TOKENIZER}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > TOKENIZER_LIMIT:
        raise InputError(f"{path}: has more than {TOKENIZER_LIMIT} bytes, so it is no tokenizer")
    tokenizer = tokenizer_from_bytes(content, path)
    before = tokenizer.normalizer
    steps = [normalizers.Lowercase(), *([before] if before else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


CARD = """\
# {name}

Lynx (bytedance/lynx-llm, arXiv 2307.02469): EVA-ViT-g, a Perceiver bridge, and Vicuna-7B with
adapters, exported from a checkpoint given by whoever made this bundle. It is the backbone that
AllSpark (arXiv 2401.00546) builds on, not AllSpark itself, whose weights are not public. It takes
images (`rgb`), video of five frames, and text; it has no task heads, no samples and no scores.
The licence of the checkpoint, and of the Vicuna weights in it, applies.
"""
